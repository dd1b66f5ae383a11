import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { unlessAbsentLater } from "../observe/not-observed.ts";
import { folderOf, foldersOf, otherKinds, secretsFolder, surplusIn, unfinished } from "../observe/observe-project.ts";
import { type HostOwner, hostOwner, plainUsers } from "../observe/user-mapping.ts";
import type { ProjectFile } from "../render/render-decky.ts";

/** Identifies the content of a project. */
export function projectDigest(files: readonly ProjectFile[]): string {
  const hash = createHash("sha256");
  for (const file of [...files].sort((left, right) => (left.path < right.path ? -1 : 1)))
    hash.update(JSON.stringify([file.path, file.content, file.owner]));
  return hash.digest("hex").slice(0, 32);
}

/**
 * Writes a project so that a crash, a full disk or another writer at any moment leaves either the old compose file or the new
 * one, never a mixture: secrets go to folders named by content first, then compose.yaml is put in place by one rename.
 */
export async function writeProject(folder: string, files: readonly ProjectFile[], users = plainUsers): Promise<void> {
  const folders = foldersOf(files);
  for (const path of [...folders.keys()].sort()) {
    const { mode, owner } = folderOf(path, folders.get(path) ?? "host");
    await makeFolder(join(folder, path), mode, hostOwner(owner, users));
  }
  await removeUnfinished(folder);
  for (const file of files) await writeAtomically(folder, file, hostOwner(file.owner, users));
  // Secrets of an earlier project stay: until this one is seen running, a container may need them.
  for (const path of await surplusIn(folder, files))
    if (dirname(path) !== secretsFolder) await rm(join(folder, path), { recursive: true, force: true });
}

/** Whatever else has the place of the folder goes. */
async function makeFolder(path: string, mode: number, owner: HostOwner): Promise<void> {
  const found = await unlessAbsentLater(() => lstat(path), otherKinds);
  if (found !== undefined && !found.isDirectory()) await rm(path);
  await mkdir(path, { recursive: true, mode });
  await chmod(path, mode);
  await chown(path, owner.uid, owner.gid);
}

/** No writer takes that long for one file. */
const abandonedMs = 60_000;

/** Files that a writer left behind when it was killed. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(unfinished)) continue;
    const path = join(folder, name);
    const found = await unlessAbsentLater(() => stat(path));
    if (found !== undefined && Date.now() - found.mtimeMs > abandonedMs) await rm(path, { force: true });
  }
}

/** Removes secret folders of earlier projects. Called after success only: until then a container may need them. */
export async function pruneSecrets(folder: string, files: readonly ProjectFile[]): Promise<void> {
  const wanted = new Set(files.map((file) => dirname(file.path)).filter((path) => path !== "."));
  const present = (await unlessAbsentLater(() => readdir(join(folder, "secrets")))) ?? [];
  for (const name of present)
    if (!wanted.has(`secrets/${name}`)) await rm(join(folder, "secrets", name), { recursive: true, force: true });
}

export async function removeProject(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Writes beside the final place under a name of this writer's own, outside of what containers see, and renames. */
async function writeAtomically(project: string, file: ProjectFile, owner: HostOwner): Promise<void> {
  const path = join(project, file.path);
  const folder = dirname(path);
  const found = await unlessAbsentLater(() => lstat(path), otherKinds);
  if (found?.isDirectory() === true) await rm(path, { recursive: true });
  const temporary = join(project, `${unfinished}${randomBytes(8).toString("hex")}`);
  try {
    const handle = await open(temporary, "wx", file.mode);
    try {
      await handle.writeFile(file.content);
      await handle.chown(owner.uid, owner.gid);
      await handle.chmod(file.mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // On a full disk every byte counts.
    await rm(temporary, { force: true });
    throw error;
  }
  const parent = await open(folder, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
