import { access, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { lockFolder } from "@decnet/common/runtime/folder-lock";
import { createReleasers, type Releasers } from "@decnet/common/runtime/releasers";
import type { DatabaseAddress } from "../store/database.ts";
import { findRunningPostgres, openSnapshot, unknownSteps } from "../store/database-dump.ts";
import { openPrivatePostgres } from "../store/private-postgres.ts";
import { joinContents } from "./contents.ts";
import { readInstallationFiles } from "./installation-files.ts";
import { seal } from "./sealed-stream.ts";

export interface BackupOptions {
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  /** See DatabaseAddress. */
  readonly extraRootsFile?: string | undefined;
  readonly file: string;
  readonly passphrase: string;
  readonly version: string;
}

export interface BackupSummary {
  readonly file: string;
  readonly bytes: number;
  readonly installation: string;
  readonly version: string;
  readonly madeAt: string;
}

/**
 * One encrypted file of the database at one moment, and of the keys that belong to it. The master may run meanwhile, and may be
 * stopped. Errors: BACKUP_FAILED, KEY_FILE_UNUSABLE, VERSION_TOO_OLD, REQUEST_INVALID for a file that is there.
 */
export async function makeBackup(options: BackupOptions): Promise<BackupSummary> {
  const { dataDir, databaseUrl, extraRootsFile, file, passphrase, version } = options;
  await refusePresent(file);
  const releasers = createReleasers();
  try {
    const address = databaseUrl === undefined ? await openOwnDatabase(dataDir, releasers) : { url: databaseUrl, extraRootsFile };
    const snapshot = await openSnapshot(address);
    releasers.add(snapshot.close);
    const { installation, schema } = snapshot;
    // A later version may keep something beside the database that this one does not know of.
    const [later] = unknownSteps(schema);
    if (later !== undefined) {
      const message = `the database has the schema of a later version, ${installation.version} (${later}); this is ${version}`;
      throw new AppError("VERSION_TOO_OLD", message, { metadata: { version: installation.version } });
    }
    const files = await readInstallationFiles(dataDir, installation);
    const madeAt = new Date().toISOString();
    const manifest = { format: 1, version, madeAt, installation: installation.id, schema, files } as const;
    const bytes = await writeWhole(file, seal(joinContents(manifest, snapshot.dump()), passphrase));
    return { file, bytes, installation: installation.id, version, madeAt };
  } finally {
    await releasers.release();
  }
}

/** The private server of the master that runs; when none does, it is started for as long as this takes. */
async function openOwnDatabase(dataDir: string, releasers: Releasers): Promise<DatabaseAddress> {
  try {
    await access(dataDir);
  } catch (cause) {
    throw new AppError("BACKUP_FAILED", `there is no data folder ${dataDir}: DECNET_DATA_DIR names the master's`, { cause });
  }
  try {
    const lock = await lockFolder(dataDir, "decnet backup", 0o711);
    releasers.add(lock.release);
    const server = await openPrivatePostgres(dataDir, new AbortController().signal, lock.isHeld);
    releasers.add(server.stop);
    return server;
  } catch (error) {
    if (!(error instanceof AppError) || error.reason !== "DATA_FOLDER_IN_USE") throw error;
    const running = await findRunningPostgres(dataDir);
    if (running === undefined) throw error;
    return running;
  }
}

async function refusePresent(file: string): Promise<void> {
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  throw new AppError("REQUEST_INVALID", `${file} is there already, and is not written over`, {
    violations: [{ field: "file", description: "is there already" }],
  });
}

/** The file appears once all of it is on the disk, and for its owner alone. */
async function writeWhole(file: string, source: AsyncIterable<Buffer>): Promise<number> {
  const part = `${file}.part`;
  let bytes = 0;
  await rm(part, { force: true });
  const handle = await open(part, "wx", 0o600).catch((cause: Error) => {
    throw new AppError("BACKUP_FAILED", `${part} cannot be written: ${cause.message}`, { cause });
  });
  try {
    try {
      for await (const chunk of source) {
        await handle.appendFile(chunk);
        bytes += chunk.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await refusePresent(file);
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    if (error instanceof AppError) throw error;
    throw new AppError("BACKUP_FAILED", `${part} cannot be written: ${(error as Error).message}`, { cause: error });
  }
  const parent = await open(dirname(resolve(file)), "r");
  await parent.sync().finally(() => parent.close());
  return bytes;
}
