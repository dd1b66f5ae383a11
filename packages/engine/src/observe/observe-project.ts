import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { lstat, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ProjectFile } from "../render/render-decky.ts";
import { absentCodes, unlessAbsentLater } from "./not-observed.ts";
import { noProject, type ObservedProject } from "./observed.ts";
import { hostOwner, plainUsers, type UserMapping } from "./user-mapping.ts";

/**
 * Compares a project on disk with its files. Content is read again only when the file system says that the file changed: a
 * change sets its change time, which nobody can set back.
 */
export interface ProjectObserver {
  /** What cannot be read is neither changed nor gone: throws NOT_OBSERVED. */
  observe(folder: string, files: readonly ProjectFile[]): Promise<ObservedProject>;
}

/** Files that a writer has not put in place yet. */
export const unfinished = ".unfinished-";
export const secretsFolder = "secrets";
/** Nothing is there, or something else than a file, or than a folder, stands where one belongs. */
export const otherKinds: ReadonlySet<string> = new Set([...absentCodes, "ENOTDIR", "EISDIR", "ELOOP"]);

/** What each folder of a project may be used for, and by whom, as its writer makes it. */
export function folderOf(path: string, owner: ProjectFile["owner"]): Pick<ProjectFile, "mode" | "owner"> {
  return path.startsWith(`${secretsFolder}/`) ? { mode: 0o500, owner } : { mode: 0o700, owner: "host" };
}

export function createProjectObserver(users: UserMapping = plainUsers): ProjectObserver {
  const read = new Map<string, { readonly stamp: string; readonly content: string }>();
  const hashOf = async (path: string, stats: BigIntStats): Promise<string> => {
    const stamp = [stats.ino, stats.size, stats.ctimeNs].join();
    const before = read.get(path);
    if (before?.stamp === stamp) return before.content;
    const content = hash(await readFile(path));
    read.set(path, { stamp, content });
    return content;
  };
  const isAsWanted = async (project: string, file: ProjectFile): Promise<boolean> => {
    const path = join(project, file.path);
    const stats = await look(path);
    if (stats === undefined || !stats.isFile() || !hasRights(stats, file, users)) return false;
    return (await ifThere(() => hashOf(path, stats))) === wantedHash(file);
  };
  return {
    async observe(folder, files) {
      const stats = await look(folder);
      if (stats === undefined) return { ...noProject, differing: files.map(({ path }) => path) };
      if (!stats.isDirectory()) return { isThere: true, differing: ["."] };
      const folders = foldersOf(files);
      const [flawed, differing, others] = await Promise.all([
        keepIf([...folders], async ([path, owner]) => {
          const found = path === "." ? stats : await look(join(folder, path));
          return found === undefined || !found.isDirectory() || !hasRights(found, folderOf(path, owner), users);
        }),
        keepIf(files, async (file) => !(await isAsWanted(folder, file))),
        surplusIn(folder, files),
      ]);
      if (differing.length > 0 || others.length > 0) forgetOthers(read, folder, files);
      return { isThere: true, differing: [...flawed.map(([path]) => path), ...differing.map(({ path }) => path), ...others] };
    },
  };
}

/** Folders of a project with the owner of what is in them. */
export function foldersOf(files: readonly ProjectFile[]): Map<string, ProjectFile["owner"]> {
  const folders = new Map<string, ProjectFile["owner"]>();
  for (const { path, owner } of files)
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      if (!folders.has(folder)) folders.set(folder, owner);
      if (folder === ".") break;
    }
  return folders;
}

/** Paths that belong to no file of the project. Compose would read some of them: an override, or its environment. */
export async function surplusIn(project: string, files: readonly ProjectFile[]): Promise<string[]> {
  const folders = foldersOf(files);
  const wanted = new Set([...folders.keys(), ...files.map(({ path }) => path)]);
  const found = await Promise.all(
    [...folders.keys()].map(async (folder) => {
      const names = (await ifThere(() => readdir(join(project, folder)))) ?? [];
      return names.filter((name) => !name.startsWith(unfinished)).map((name) => join(folder, name));
    }),
  );
  return found.flat().filter((path) => !wanted.has(path));
}

function hasRights(stats: BigIntStats, { mode, owner }: Pick<ProjectFile, "mode" | "owner">, users: UserMapping): boolean {
  const { uid, gid } = hostOwner(owner, users);
  return Number(stats.mode & 0o7777n) === mode && Number(stats.uid) === uid && Number(stats.gid) === gid;
}

const wantedHashes = new WeakMap<ProjectFile, string>();

function wantedHash(file: ProjectFile): string {
  const known = wantedHashes.get(file) ?? hash(file.content);
  wantedHashes.set(file, known);
  return known;
}

function hash(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function look(path: string): Promise<BigIntStats | undefined> {
  return ifThere(() => lstat(path, { bigint: true }));
}

function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  return unlessAbsentLater(read, otherKinds);
}

async function keepIf<T>(all: readonly T[], test: (each: T) => Promise<boolean>): Promise<T[]> {
  const verdicts = await Promise.all(all.map(test));
  return all.filter((_, index) => verdicts[index]);
}

/** Only what belongs to the project is remembered. */
function forgetOthers(read: Map<string, unknown>, project: string, files: readonly ProjectFile[]): void {
  const paths = new Set(files.map(({ path }) => join(project, path)));
  for (const path of read.keys()) if (path.startsWith(`${project}/`) && !paths.has(path)) read.delete(path);
}
