import { randomUUID, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { unusable } from "@decnet/common/runtime/key-file";
import { makeOwnAuthority, readOwnAuthority } from "./hosts/authority.ts";
import type { Database } from "./store/database.ts";
import { createInstallationStore, type Installation, type InstallationStore } from "./store/installation.ts";
import { openSealed } from "./store/sealing.ts";
import { createSecretBox, makeSecretKey, readSecretKey, type SecretBox } from "./store/secret-box.ts";

/** The keys of an installation, as its database knows them. */
export interface OpenInstallation {
  readonly id: string;
  readonly box: SecretBox;
  readonly authority: CertificateAuthority;
  /** Throws what is wrong by now with a file that the next start needs. */
  checkFiles(): Promise<void>;
  /** Throws when the database has become that of another installation. */
  checkDatabase(): Promise<void>;
}

export interface InstallationOptions {
  readonly database: Database;
  readonly dataDir: string;
  readonly version: string;
  /** Keys whose files are missing are made again, and what hangs on them is given up. */
  readonly replaceLostKeys: boolean;
}

interface Keys {
  readonly box: SecretBox;
  readonly authority: CertificateAuthority;
}

/** Says, beside the keys, which installation the folder is of. */
const marker = "installation.json";

/**
 * The installation of this database and this data folder. Keys are made together with an empty database, and never again:
 * whatever is missing then, damaged or another installation's is refused. Errors: KEY_FILE_UNUSABLE, INSTALLATION_MISMATCH.
 */
export async function openInstallation(options: InstallationOptions): Promise<OpenInstallation> {
  const { dataDir, version } = options;
  const store = createInstallationStore(options.database);
  const [known, marked] = [await store.find(), await readMarker(dataDir)];
  if (marked !== undefined && marked !== known?.id) throw mismatch(dataDir, marked, known);
  const { installation, keys } =
    known === undefined ? await install(dataDir, store) : { installation: known, keys: await openKeys(known, options, store) };
  if (marked === undefined)
    await writeFileAtomically(join(dataDir, marker), `${JSON.stringify({ id: installation.id })}\n`, 0o644);
  await store.noteVersion(version);
  const { box, authority } = keys;
  return {
    id: installation.id,
    box,
    authority,
    async checkFiles() {
      const now = await readMarker(dataDir);
      if (now !== installation.id) throw unusable(join(dataDir, marker), "is gone, or of another installation");
      const secret = await readSecretKey(secretFile(dataDir));
      refuseOther(secretFile(dataDir), secret === undefined ? undefined : createSecretBox(secret).check, box.check);
      refuseOther(authorityFile(dataDir), (await readOwnAuthority(dataDir, installation.id))?.hash, authority.hash);
    },
    async checkDatabase() {
      const now = await store.find();
      if (now?.id !== installation.id || now.secretKeyCheck !== box.check)
        throw new AppError("STORAGE_UNAVAILABLE", "the database is another one than this master was started with");
    },
  };
}

const secretFile = (dataDir: string) => join(dataDir, "secret.key");
const authorityFile = (dataDir: string) => join(dataDir, "pki", "ca.pem");

/** Keys that a first start made, and did not come to store, are taken. */
async function install(dataDir: string, store: InstallationStore): Promise<{ installation: Installation; keys: Keys }> {
  const box = createSecretBox((await readSecretKey(secretFile(dataDir))) ?? (await makeSecretKey(secretFile(dataDir))));
  const id = await unfinishedId(dataDir);
  const authority = (await readOwnAuthority(dataDir, id)) ?? (await makeOwnAuthority(dataDir, id));
  const installation = await store.make({ id, secretKeyCheck: box.check, authorityHash: authority.hash });
  refuseOther(secretFile(dataDir), box.check, installation.secretKeyCheck);
  refuseOther(authorityFile(dataDir), authority.hash, installation.authorityHash);
  return { installation, keys: { box, authority } };
}

async function openKeys(known: Installation, options: InstallationOptions, store: InstallationStore): Promise<Keys> {
  const { dataDir, replaceLostKeys } = options;
  const present = await readSecretKey(secretFile(dataDir));
  const key = present ?? (replaceLostKeys ? await makeSecretKey(secretFile(dataDir)) : undefined);
  if (key === undefined) throw missing(secretFile(dataDir));
  const box = createSecretBox(key);
  if (present !== undefined) await refuseOtherSecretKey(dataDir, box, known, store);
  const own = await readOwnAuthority(dataDir, known.id).catch((error: unknown) => {
    if (replaceLostKeys && error instanceof AppError && /is missing/.test(error.message)) return undefined;
    throw error;
  });
  const authority = own ?? (replaceLostKeys ? await makeOwnAuthority(dataDir, known.id) : undefined);
  if (authority === undefined) throw missing(authorityFile(dataDir));
  if (own !== undefined) refuseOther(authorityFile(dataDir), own.hash, known.authorityHash ?? own.hash);
  if (known.secretKeyCheck !== box.check || known.authorityHash !== authority.hash)
    await store.noteKeys({
      secretKeyCheck: box.check,
      authorityHash: authority.hash,
      forgetSecrets: present === undefined,
    });
  return { box, authority };
}

/** A database from before the check was kept proves the key by what it sealed. */
async function refuseOtherSecretKey(
  dataDir: string,
  box: SecretBox,
  known: Installation,
  store: InstallationStore,
): Promise<void> {
  const file = secretFile(dataDir);
  if (known.secretKeyCheck !== null) return refuseOther(file, box.check, known.secretKeyCheck);
  const sealed = await store.anySealed();
  if (sealed === undefined) return;
  try {
    openSealed(box, sealed.deckyId, sealed.services);
  } catch (cause) {
    throw unusable(file, "is another key than the one that sealed what is in the database", cause);
  }
}

function refuseOther(file: string, check: string | undefined, wanted: string | null): void {
  if (check === undefined) throw missing(file);
  if (check !== wanted)
    throw unusable(
      file,
      `is another one than the one that this database was made with (its check value is ${short(check)}, not ${short(wanted)})`,
    );
}

const short = (check: string | null) => (check ?? "not known").slice(0, 12);

function missing(file: string): AppError {
  return unusable(file, "is missing; it is made only together with an empty database, and this one is not empty");
}

function mismatch(dataDir: string, marked: string, known: Installation | undefined): AppError {
  const is = known === undefined ? "is empty" : `is of the installation ${known.id}`;
  return new AppError(
    "INSTALLATION_MISMATCH",
    `the data folder ${dataDir} is of the installation ${marked}, and the database ${is}`,
    {
      metadata: { folder: dataDir },
    },
  );
}

async function readMarker(dataDir: string): Promise<string | undefined> {
  const file = join(dataDir, marker);
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw unusable(file, `cannot be read: ${error.message}`, error);
  });
  if (text === undefined) return undefined;
  try {
    const { id } = JSON.parse(text) as { id?: unknown };
    if (typeof id === "string") return id;
  } catch {
    // It is said below.
  }
  throw unusable(file, "is damaged: it names no installation");
}

/** The authority's certificate names its installation. */
async function unfinishedId(dataDir: string): Promise<string> {
  const text = await readFile(authorityFile(dataDir), "utf8").catch(() => "");
  try {
    const [, id] = /^CN=decnet ([0-9a-f-]{36})$/m.exec(new X509Certificate(text).subject) ?? [];
    if (id !== undefined) return id;
  } catch {
    // There is none, or it is not ours: reading the authority says so.
  }
  return randomUUID();
}
