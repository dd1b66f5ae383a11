import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Seals secrets for the database (AES-256-GCM, bound to where they belong), and makes keyed hashes that tell nothing about their
 * input.
 */
export interface SecretBox {
  seal(text: string, place: string): string;
  /** Throws when the key or the place is another one. */
  open(sealed: string, place: string): string;
  /** 32 hex digits. */
  fingerprint(text: string): string;
}

const prefix = "v1:";

/** Opens the box with the key in `file` (32 bytes, hex, 0600), which is made when it is absent. */
export async function openSecretBox(file: string): Promise<SecretBox> {
  const master = await readOrMakeKey(file);
  const derive = (purpose: string) => Buffer.from(hkdfSync("sha256", master, "", `decnet ${purpose}`, 32));
  const sealKey = derive("seal");
  const hashKey = derive("fingerprint");
  return {
    seal(text, place) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", sealKey, nonce).setAAD(Buffer.from(place));
      const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return prefix + Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64");
    },
    open(sealed, place) {
      const bytes = Buffer.from(sealed.slice(prefix.length), "base64");
      const decipher = createDecipheriv("aes-256-gcm", sealKey, bytes.subarray(0, 12))
        .setAAD(Buffer.from(place))
        .setAuthTag(bytes.subarray(12, 28));
      try {
        return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8");
      } catch (error) {
        throw new Error(`a stored secret cannot be opened: ${file} is not the key that sealed it`, { cause: error });
      }
    },
    fingerprint: (text) => createHmac("sha256", hashKey).update(text).digest("hex").slice(0, 32),
  };
}

async function readOrMakeKey(file: string): Promise<Buffer> {
  await mkdir(dirname(file), { recursive: true });
  try {
    const handle = await open(file, "wx", 0o600);
    try {
      await handle.writeFile(`${randomBytes(32).toString("hex")}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  await chmod(file, 0o600);
  const key = Buffer.from((await readFile(file, "utf8")).trim(), "hex");
  if (key.length !== 32) throw new Error(`${file} does not hold a key of 32 bytes in hex`);
  return key;
}
