import { createHash, createHmac, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { readKeyFile } from "@decnet/common/runtime/key-file";

/** Hides secrets in labels; the key stays on this worker. */
export interface Fingerprint {
  readonly of: (text: string) => string;
  /** By which its key is known again. */
  readonly check: string;
}

const fingerprintFile = "fingerprint.key";

/**
 * With another key every container would be another one than it was, and be made again: the key is made while the worker has no
 * decky yet, and never again. Errors: IDENTITY_UNUSABLE, KEY_FILE_UNUSABLE.
 */
export async function openFingerprint(stateDir: string, known: string | undefined): Promise<Fingerprint> {
  const file = join(stateDir, fingerprintFile);
  const unusable = (what: string) => new AppError("IDENTITY_UNUSABLE", `${file} ${what}`, { metadata: { lost_file: file } });
  let key = await readKeyFile(file, "secret");
  if (key === undefined) {
    const specs = await readdir(join(stateDir, "specs")).catch(() => []);
    if (specs.length > 0) throw unusable("is missing: the deckies of this worker were made with it");
    key = await makeFingerprintKey(stateDir);
    known = undefined;
  }
  if (!/^[0-9a-f]{64}$/.test(key)) throw unusable("is damaged: it holds no key of 32 bytes in hex");
  const check = createHash("sha256").update(`decnet fingerprint ${key}`).digest("hex").slice(0, 32);
  if (known !== undefined && known !== check) throw unusable("is another key than the one that this worker began with");
  const bytes = Buffer.from(key, "hex");
  return { check, of: (text) => createHmac("sha256", bytes).update(text).digest("hex").slice(0, 32) };
}

/** What was made with the one before is made again. */
export async function makeFingerprintKey(stateDir: string): Promise<string> {
  const key = randomBytes(32).toString("hex");
  await writeFileAtomically(join(stateDir, fingerprintFile), `${key}\n`, 0o600);
  return key;
}
