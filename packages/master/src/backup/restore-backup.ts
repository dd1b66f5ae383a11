import { createReadStream } from "node:fs";
import { access } from "node:fs/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { lockFolder } from "@decnet/common/runtime/folder-lock";
import { createReleasers, type Releasers } from "@decnet/common/runtime/releasers";
import type { DatabaseAddress } from "../store/database.ts";
import { refuseUsedDatabase, restoreDump, unknownSteps } from "../store/database-dump.ts";
import { openPrivatePostgres } from "../store/private-postgres.ts";
import { type Manifest, splitContents } from "./contents.ts";
import { refuseUsedFolder, writeKeys, writeMarker } from "./installation-files.ts";
import type { BackupOptions, BackupSummary } from "./make-backup.ts";
import { unseal } from "./sealed-stream.ts";

/**
 * Puts a backup into an empty data folder and an empty database, which may be of another kind than those it was made of. All
 * of the file is read and authenticated before anything is written. One that was broken off is repeated; it left either no
 * database or a whole one. Errors: BACKUP_UNREADABLE, BACKUP_FAILED, TARGET_NOT_EMPTY, VERSION_TOO_OLD, DATA_FOLDER_IN_USE.
 */
export async function restoreBackup(options: BackupOptions): Promise<BackupSummary> {
  const { dataDir, databaseUrl, extraRootsFile, file, passphrase, version } = options;
  const { manifest, bytes } = await verify(file, passphrase);
  const [later] = unknownSteps(manifest.schema);
  if (later !== undefined) {
    const message = `the backup was made by a later version, ${manifest.version} (${later}); this is ${version}`;
    throw new AppError("VERSION_TOO_OLD", message, { metadata: { version: manifest.version } });
  }
  const releasers = createReleasers();
  try {
    const lock = await lockFolder(dataDir, "decnet restore", 0o711);
    releasers.add(lock.release);
    await refuseUsedFolder(dataDir, manifest.files);
    const address =
      databaseUrl === undefined ? await openOwnDatabase(dataDir, lock.isHeld, releasers) : { url: databaseUrl, extraRootsFile };
    await refuseUsedDatabase(address);
    await writeKeys(dataDir, manifest.files);
    const { dump } = await splitContents(unseal(createReadStream(file), passphrase));
    await restoreDump(address, dump);
    await writeMarker(dataDir, manifest.files);
  } finally {
    await releasers.release();
  }
  const { installation, madeAt } = manifest;
  return { file, bytes, installation, version: manifest.version, madeAt };
}

async function verify(file: string, passphrase: string): Promise<{ manifest: Manifest; bytes: number }> {
  await access(file).catch((cause: Error) => {
    throw new AppError("BACKUP_UNREADABLE", `the backup cannot be read: ${cause.message}`, { cause });
  });
  const source = createReadStream(file);
  const { manifest, dump } = await splitContents(unseal(source, passphrase));
  let dumped = 0;
  for await (const chunk of dump) dumped += chunk.length;
  if (dumped === 0) throw new AppError("BACKUP_UNREADABLE", "the backup cannot be read: there is no database in it");
  return { manifest, bytes: source.bytesRead };
}

async function openOwnDatabase(dataDir: string, isHeld: () => Promise<boolean>, releasers: Releasers): Promise<DatabaseAddress> {
  const server = await openPrivatePostgres(dataDir, new AbortController().signal, isHeld);
  releasers.add(server.stop);
  return server;
}
