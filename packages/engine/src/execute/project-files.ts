import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, lstat, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { absentCodes, unlessAbsentLater } from "../observe/not-observed.ts";
import type { ProjectFile } from "../render/render-decky.ts";
import { type HostOwner, hostOwner, plainUsers, type UserMapping } from "./user-mapping.ts";

/** Identifies the content of a project. */
export function projectDigest(files: readonly ProjectFile[]): string {
  const hash = createHash("sha256");
  for (const file of [...files].sort((left, right) => (left.path < right.path ? -1 : 1)))
    hash.update(JSON.stringify([file.path, file.content, file.owner]));
  return hash.digest("hex").slice(0, 32);
}

/** Something else than a file, or than a folder, stands where one belongs. */
const otherKinds: ReadonlySet<string> = new Set([...absentCodes, "ENOTDIR", "EISDIR", "ELOOP"]);

/**
 * Digest of what is on disk at the paths of `files`; empty when there is no project. What is not its owner's counts as changed;
 * what cannot be read is neither changed nor gone: NOT_OBSERVED.
 */
export async function diskDigest(folder: string, files: readonly ProjectFile[], users = plainUsers): Promise<string> {
  const found = await Promise.all(files.map((file) => readBack(folder, file, users)));
  if (found.every((file) => file === undefined)) return (await exists(folder)) ? "leftover" : "";
  return found.includes(undefined) ? "incomplete" : projectDigest(found.filter((file) => file !== undefined));
}

async function readBack(folder: string, file: ProjectFile, users: UserMapping): Promise<ProjectFile | undefined> {
  const path = join(folder, file.path);
  const content = await unlessAbsentLater(() => readFile(path, "utf8"), otherKinds);
  const found = await unlessAbsentLater(() => stat(path), otherKinds);
  const owner = hostOwner(file.owner, users);
  const isTheirs = found !== undefined && found.uid === owner.uid && found.gid === owner.gid;
  return content !== undefined && isTheirs ? { ...file, content } : undefined;
}

async function exists(path: string): Promise<boolean> {
  return (await unlessAbsentLater(() => lstat(path), otherKinds)) !== undefined;
}

/**
 * Writes a project so that a crash, a full disk or another writer at any moment leaves either the old compose file or the new
 * one, never a mixture: secrets go to folders named by content first, then compose.yaml is put in place by one rename.
 */
export async function writeProject(folder: string, files: readonly ProjectFile[], users = plainUsers): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await removeUnfinished(folder);
  for (const file of files) await writeAtomically(folder, file, hostOwner(file.owner, users));
}

const unfinished = ".unfinished-";
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
  const isSecret = file.path.startsWith("secrets/");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (isSecret) {
    await chmod(folder, 0o500);
    await chown(folder, owner.uid, owner.gid);
  }
  const temporary = join(project, `${unfinished}${randomBytes(8).toString("hex")}`);
  try {
    const handle = await open(temporary, "wx", file.mode);
    try {
      await handle.writeFile(file.content);
      await handle.chown(owner.uid, owner.gid);
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
