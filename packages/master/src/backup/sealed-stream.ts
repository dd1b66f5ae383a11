import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { z } from "zod";

/**
 * A stream, encrypted with a passphrase: scrypt makes a key of it and of a salt of this very file, and each chunk is sealed with
 * AES-256-GCM. A chunk's nonce is its number and whether it is the last one, so that none can be left out, moved, or cut off
 * (the STREAM construction, as in age). What is read is never given out before it was authenticated.
 */

const magic = Buffer.from("decnet-backup-1\n");
const chunkBytes = 64 << 10;
const tagBytes = 16;
const mostHeader = 1 << 10;
const usual = { N: 1 << 17, r: 8, p: 1 };
/** What a file may ask of the machine that reads it. */
const most = { N: 1 << 20, r: 16, p: 4 };

const headerSchema = z.strictObject({
  kdf: z.literal("scrypt"),
  N: z
    .int()
    .min(2)
    .max(most.N)
    .refine((count) => (count & (count - 1)) === 0),
  r: z.int().min(1).max(most.r),
  p: z.int().min(1).max(most.p),
  salt: z.string().regex(/^[0-9a-f]{32}$/),
  cipher: z.literal("aes-256-gcm"),
});
type Header = z.infer<typeof headerSchema>;

interface Keys {
  readonly key: Buffer;
  /** Bound to every chunk. */
  readonly about: Buffer;
}

export async function* seal(source: AsyncIterable<Buffer>, passphrase: string, cost = usual): AsyncGenerator<Buffer> {
  const header: Header = { kdf: "scrypt", ...cost, salt: randomBytes(16).toString("hex"), cipher: "aes-256-gcm" };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const start = Buffer.concat([magic, length, text]);
  const { key, about } = await keysOf(header, start, passphrase);
  yield start;
  let number = 0;
  const sealOne = (chunk: Buffer, isLast: boolean): Buffer => {
    const cipher = createCipheriv("aes-256-gcm", key, nonceOf(number, isLast)).setAAD(about);
    number += 1;
    return Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
  };
  let rest = Buffer.alloc(0);
  for await (const piece of source) {
    rest = Buffer.concat([rest, piece]);
    // One that is full waits: it may be the last.
    for (; rest.length > chunkBytes; rest = rest.subarray(chunkBytes)) yield sealOne(rest.subarray(0, chunkBytes), false);
  }
  yield sealOne(rest, true);
}

/** Errors: BACKUP_UNREADABLE. */
export async function* unseal(source: AsyncIterable<Buffer>, passphrase: string): AsyncGenerator<Buffer> {
  const input = createInput(source);
  const start = await input.take(magic.length + 4);
  if (!start.subarray(0, magic.length).equals(magic)) throw unreadable("it is no backup of decnet, or one of another version");
  const headerLength = start.length === magic.length + 4 ? start.readUInt32BE(magic.length) : 0;
  if (headerLength === 0 || headerLength > mostHeader) throw unreadable("it is damaged in its first bytes");
  const text = await input.take(headerLength);
  const { key, about } = await keysOf(parseHeader(text), Buffer.concat([start, text]), passphrase);
  let chunk = await input.take(chunkBytes + tagBytes);
  for (let number = 0; ; number += 1) {
    const next = await input.take(chunkBytes + tagBytes);
    const isLast = next.length === 0;
    if (chunk.length < tagBytes) throw unreadable("its end is missing");
    const body = chunk.subarray(0, -tagBytes);
    const decipher = createDecipheriv("aes-256-gcm", key, nonceOf(number, isLast))
      .setAAD(about)
      .setAuthTag(chunk.subarray(-tagBytes));
    let plain: Buffer;
    try {
      plain = Buffer.concat([decipher.update(body), decipher.final()]);
    } catch {
      throw unreadable(damaged(number));
    }
    yield plain;
    if (isLast) return;
    chunk = next;
  }
}

function damaged(number: number): string {
  return number === 0 ? "the passphrase is another one, or it is damaged" : `it is damaged, or cut off, in its chunk ${number}`;
}

function parseHeader(text: Buffer): Header {
  try {
    return headerSchema.parse(JSON.parse(text.toString("utf8")));
  } catch {
    throw unreadable("it is damaged in its first bytes");
  }
}

async function keysOf({ N, r, p, salt }: Header, start: Buffer, passphrase: string): Promise<Keys> {
  const maxmem = 128 * N * r + 128 * r * p + (1 << 20);
  const key = await new Promise<Buffer>((resolve, reject) => {
    scrypt(passphrase.normalize("NFC"), Buffer.from(salt, "hex"), 32, { N, r, p, maxmem }, (error, made) =>
      error === null ? resolve(made) : reject(error),
    );
  });
  return { key, about: createHash("sha256").update(start).digest() };
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(number), 3);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** Reads so many bytes at a time, fewer only at the end. */
function createInput(source: AsyncIterable<Buffer>): { take(count: number): Promise<Buffer> } {
  const iterator = source[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  let isOver = false;
  return {
    async take(count) {
      const parts = [rest];
      for (let have = rest.length; have < count && !isOver; ) {
        const next = await iterator.next();
        if (next.done === true) isOver = true;
        else {
          parts.push(next.value);
          have += next.value.length;
        }
      }
      const all = Buffer.concat(parts);
      rest = all.subarray(count);
      return all.subarray(0, count);
    },
  };
}

function unreadable(why: string): AppError {
  return new AppError("BACKUP_UNREADABLE", `the backup cannot be read: ${why}`);
}
