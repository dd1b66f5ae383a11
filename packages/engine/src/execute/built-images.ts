import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { unlessAbsentLater } from "../observe/not-observed.ts";

/**
 * Remembers, on disk, the engine's id of each image that was built here, or was there when a container was first made of it:
 * anybody on this host may give its tag to another image.
 */
export interface BuiltImages {
  /** Undefined: never seen here. Throws NOT_OBSERVED. */
  of(tag: string): Promise<string | undefined>;
  note(tag: string, id: string): Promise<void>;
  forget(tags: readonly string[]): Promise<void>;
}

const file = z.object({ file: z.literal("decnet built images 1"), ids: z.record(z.string(), z.string()) });

/** One owner: a daemon holds the lock of its data folder. */
export function createBuiltImages(path: string): BuiltImages {
  let known: Promise<ReadonlyMap<string, string>> | undefined;
  const load = () => {
    const found = known ?? read(path);
    known = found;
    found.catch(() => {
      if (known === found) known = undefined;
    });
    return found;
  };
  /** One change after the other: each begins with what the last one left. */
  let last: Promise<unknown> = Promise.resolve();
  const change = (next: (ids: Map<string, string>) => void): Promise<void> => {
    const work = async () => {
      const before = await load();
      const after = new Map(before);
      next(after);
      if (after.size === before.size && [...after].every(([tag, id]) => before.get(tag) === id)) return;
      await write(path, after);
      known = Promise.resolve(after);
    };
    const done = last.then(work, work);
    last = done;
    return done;
  };
  return {
    of: async (tag) => (await load()).get(tag),
    note: (tag, id) => change((ids) => void ids.set(tag, id)),
    forget: (tags) => change((ids) => tags.forEach((tag) => void ids.delete(tag))),
  };
}

/** A file that was cut off says nothing, like none at all. */
async function read(path: string): Promise<ReadonlyMap<string, string>> {
  const text = await unlessAbsentLater(() => readFile(path, "utf8"));
  try {
    return new Map(Object.entries(file.parse(JSON.parse(text ?? "")).ids));
  } catch {
    return new Map();
  }
}

async function write(path: string, ids: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = join(dirname(path), `.unfinished-${randomBytes(8).toString("hex")}`);
  try {
    const text = JSON.stringify({ file: "decnet built images 1", ids: Object.fromEntries(ids) });
    await writeFile(temporary, `${text}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
