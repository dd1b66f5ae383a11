import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { unusable } from "@decnet/common/runtime/key-file";
import { readOwnAuthority } from "../hosts/authority.ts";
import type { Installation } from "../store/installation.ts";
import { createSecretBox, readSecretKey } from "../store/secret-box.ts";

/** What of a data folder belongs to the database, with its mode. The marker is written last: with it the folder is complete. */
const modes: Readonly<Record<string, number>> = {
  "secret.key": 0o600,
  "pki/ca.key": 0o600,
  "pki/ca.pem": 0o644,
  "admin.token": 0o600,
  "installation.json": 0o644,
};
const optional: ReadonlySet<string> = new Set(["admin.token"]);

/** Keys that are not those of the database are no backup of it. Errors: KEY_FILE_UNUSABLE. */
export async function readInstallationFiles(
  dataDir: string,
  { id, secretKeyCheck, authorityHash }: Installation,
): Promise<Record<string, string>> {
  const key = await readSecretKey(join(dataDir, "secret.key"));
  const check = key === undefined ? undefined : createSecretBox(key).check;
  if (check === undefined || check !== (secretKeyCheck ?? check))
    throw unusable(join(dataDir, "secret.key"), "is missing, or not the key of this database");
  const authority = await readOwnAuthority(dataDir, id);
  if (authority === undefined || authority.hash !== (authorityHash ?? authority.hash))
    throw unusable(join(dataDir, "pki", "ca.pem"), "is missing, or not the authority of this database");
  const files: Record<string, string> = {};
  for (const path of Object.keys(modes)) {
    const text = await readText(join(dataDir, path));
    if (text !== undefined) files[path] = text;
    else if (!optional.has(path)) throw unusable(join(dataDir, path), "is missing");
  }
  return files;
}

/** Throws TARGET_NOT_EMPTY when there is anything else than what a restore of the same backup left that was broken off. */
export async function refuseUsedFolder(dataDir: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const path of Object.keys(modes)) {
    const present = await readText(join(dataDir, path));
    if (present === undefined || (present === files[path] && path !== marker)) continue;
    throw new AppError("TARGET_NOT_EMPTY", `the data folder ${dataDir} is in use: it has ${path}`);
  }
}

const marker = "installation.json";

/** Without the marker: a folder with only these is taken for one that a restore did not finish. */
export async function writeKeys(dataDir: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, mode] of Object.entries(modes)) {
    const text = files[path];
    if (text === undefined || path === marker) continue;
    await mkdir(dirname(join(dataDir, path)), { recursive: true, mode: 0o700 });
    await writeFileAtomically(join(dataDir, path), text, mode);
  }
}

export async function writeMarker(dataDir: string, files: Readonly<Record<string, string>>): Promise<void> {
  await writeFileAtomically(join(dataDir, marker), files[marker] ?? "", modes[marker] ?? 0o644);
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw unusable(path, `cannot be read: ${error.message}`, error);
  });
}
