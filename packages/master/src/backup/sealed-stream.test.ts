import { randomBytes } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { seal, unseal } from "./sealed-stream.ts";

const cheap = { N: 2, r: 1, p: 1 };
const passphrase = "correct horse battery";

async function* pieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

const gather = async (source: AsyncIterable<Buffer>) => {
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
};
const sealed = (data: Buffer, size = 10_000) => gather(seal(pieces(data, size), passphrase, cheap));
const opened = (file: Buffer, word = passphrase, size = 7_777) => gather(unseal(pieces(file, size), word));
const reasonOf = (work: Promise<unknown>) =>
  work.then(
    () => "opened",
    (error: unknown) => (error instanceof AppError ? error.reason : String(error)),
  );

const chunk = 64 << 10;

describe("an encrypted stream", () => {
  it.each([0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 5])("comes back as it was: %d bytes", async (length) => {
    const data = randomBytes(length);
    const file = await sealed(data);
    expect((await opened(file)).equals(data)).toBe(true);
    expect((await opened(file, passphrase, 1 << 20)).equals(data)).toBe(true);
  });

  it("is another one each time, and tells nothing of what is in it", async () => {
    const data = Buffer.from("a secret that is known ".repeat(10));
    const [one, other] = [await sealed(data), await sealed(data)];
    expect(one.equals(other)).toBe(false);
    expect(one.includes("a secret")).toBe(false);
  });

  it("is not opened with another passphrase; letters that look the same are the same", async () => {
    const file = await sealed(randomBytes(100));
    expect(await reasonOf(opened(file, "correct horse batterx"))).toBe("BACKUP_UNREADABLE");
    const composed = await gather(seal(pieces(Buffer.from("x"), 1), "cafe\u0301 au lait", cheap));
    expect((await opened(composed, "caf\u00e9 au lait")).toString()).toBe("x");
  });

  it("is refused as soon as one bit of it is another one, wherever it is", async () => {
    const file = await sealed(randomBytes(2 * chunk + 100));
    const places = [0, 5, 16, 19, 20, 40, 90, 120, 200, chunk, chunk + 200, 2 * chunk + 50, file.length - 1];
    for (const place of places) {
      const bad = Buffer.from(file);
      bad[place] = (bad[place] ?? 0) ^ 1;
      expect(await reasonOf(opened(bad)), `byte ${place}`).toBe("BACKUP_UNREADABLE");
    }
  });

  it("is refused when something of it is missing, was moved, or was added", async () => {
    const file = await sealed(randomBytes(3 * chunk));
    const start = file.length - 3 * (chunk + 16);
    const parts = [0, 1, 2].map((index) => file.subarray(start + index * (chunk + 16), start + (index + 1) * (chunk + 16)));
    const [first, second, third] = parts as [Buffer, Buffer, Buffer];
    const of = (...chunks: Buffer[]) => Buffer.concat([file.subarray(0, start), ...chunks]);
    expect(await reasonOf(opened(of(first, second, third)))).toBe("opened");
    for (const bad of [
      of(),
      of(first),
      of(first, second),
      of(first, third),
      of(second, first, third),
      of(first, second, third, third),
      of(first, second, third, Buffer.from("x")),
      of(first, second, third.subarray(0, -1)),
      file.subarray(0, 10),
      Buffer.alloc(0),
    ])
      expect(await reasonOf(opened(bad))).toBe("BACKUP_UNREADABLE");
  });

  it("asks no more memory or time of its reader than is usual, whatever it says", async () => {
    const header = JSON.stringify({ kdf: "scrypt", N: 1 << 30, r: 8, p: 1, salt: "0".repeat(32), cipher: "aes-256-gcm" });
    const length = Buffer.alloc(4);
    length.writeUInt32BE(header.length);
    const file = Buffer.concat([Buffer.from("decnet-backup-1\n"), length, Buffer.from(header), randomBytes(100)]);
    expect(await reasonOf(opened(file))).toBe("BACKUP_UNREADABLE");
  });
});
