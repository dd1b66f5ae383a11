import { AppError } from "@decnet/common/errors/app-error";
import { z } from "zod";

/** What stands in front of the database in a backup. */
const manifestSchema = z.object({
  format: z.literal(1),
  /** Of the program that made it. */
  version: z.string(),
  madeAt: z.iso.datetime(),
  installation: z.uuid(),
  /** The steps that the database's schema has seen. */
  schema: z.array(z.string()).min(1).readonly(),
  /** The files of the data folder that belong to the database, by their path in it. */
  files: z.record(z.string(), z.string()),
});
export type Manifest = z.infer<typeof manifestSchema>;

const mostBytes = 1 << 20;

/** A length, a manifest of this length, and the database up to the end. */
export async function* joinContents(manifest: Manifest, dump: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const text = Buffer.from(JSON.stringify(manifest));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  yield Buffer.concat([length, text]);
  yield* dump;
}

/** Errors: BACKUP_UNREADABLE for what was made by a version that writes it differently. */
export async function splitContents(
  source: AsyncIterable<Buffer>,
): Promise<{ readonly manifest: Manifest; readonly dump: AsyncGenerator<Buffer> }> {
  const iterator = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  const fill = async (count: number) => {
    while (head.length < count) {
      const next = await iterator.next();
      if (next.done === true) throw unreadable("it holds nothing");
      head = Buffer.concat([head, next.value]);
    }
  };
  await fill(4);
  const length = head.readUInt32BE(0);
  if (length > mostBytes) throw unreadable("its list of contents is too long");
  await fill(4 + length);
  const manifest = parseManifest(head.subarray(4, 4 + length));
  const rest = head.subarray(4 + length);
  return { manifest, dump: readRest(rest, iterator) };
}

async function* readRest(first: Buffer, iterator: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  for (;;) {
    const next = await iterator.next();
    if (next.done === true) return;
    yield next.value;
  }
}

function parseManifest(text: Buffer): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(text.toString("utf8")));
  } catch (cause) {
    throw unreadable("its list of contents is written in a way that this version does not know", cause);
  }
}

function unreadable(why: string, cause?: unknown): AppError {
  return new AppError("BACKUP_UNREADABLE", `the backup cannot be read: ${why}`, cause === undefined ? {} : { cause });
}
