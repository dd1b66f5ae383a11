import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { readKeyFile, unusable } from "@decnet/common/runtime/key-file";

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
  /** By which its key is known again; tells nothing about it. */
  readonly check: string;
}

const prefix = "v1:";
const keyBytes = 32;

/** Reads the key in `file` (32 bytes, hex, 0600). Undefined when there is none. Errors: KEY_FILE_UNUSABLE. */
export async function readSecretKey(file: string): Promise<Buffer | undefined> {
  const text = await readKeyFile(file, "secret");
  if (text === undefined) return undefined;
  if (!/^[0-9a-f]{64}$/i.test(text)) throw unusable(file, `is damaged: it holds no key of ${keyBytes} bytes in hex`);
  return Buffer.from(text, "hex");
}

export async function makeSecretKey(file: string): Promise<Buffer> {
  const key = randomBytes(keyBytes);
  await writeFileAtomically(file, `${key.toString("hex")}\n`, 0o600);
  return key;
}

export function createSecretBox(key: Buffer): SecretBox {
  const derive = (purpose: string) => Buffer.from(hkdfSync("sha256", key, "", `decnet ${purpose}`, keyBytes));
  const sealKey = derive("seal");
  const hashKey = derive("fingerprint");
  return {
    check: derive("check").toString("hex"),
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
        throw new Error("a stored secret cannot be opened: another key sealed it", { cause: error });
      }
    },
    fingerprint: (text) => createHmac("sha256", hashKey).update(text).digest("hex").slice(0, 32),
  };
}
