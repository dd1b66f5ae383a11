import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import ts from "typescript";
import { root } from "./cruise.ts";

/** Names of the workspaces below packages/. */
export const packages = ["contract", "common", "engine", "master", "agent", "cli"] as const;

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly workspaces?: readonly string[];
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** Every file that git knows or would add, below the given folders or everywhere. */
export async function listFiles(...folders: string[]): Promise<string[]> {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", ...folders];
  const { stdout } = await execa("git", args, { cwd: root });
  return [...new Set(stdout.split("\0"))].filter((path) => path !== "");
}

export async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, folder, "package.json"), "utf8")) as Manifest;
}

/** For each package the subpaths that other workspaces import, sorted: `./rpc/errors`. */
export async function readUsedSubpaths(): Promise<Map<string, string[]>> {
  const used = new Map<string, Set<string>>(packages.map((name) => [name, new Set<string>()]));
  for (const path of await listFiles("packages", "test", "bench")) {
    if (!path.endsWith(".ts")) continue;
    const text = await readFile(join(root, path), "utf8").catch(() => "");
    for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
      const [, name = "", subpath = ""] = /^@decnet\/([a-z]+)\/(.+)$/.exec(fileName) ?? [];
      if (name !== "" && !path.startsWith(`packages/${name}/`)) used.get(name)?.add(`./${subpath}`);
    }
  }
  return new Map([...used].map(([name, subpaths]) => [name, [...subpaths].sort()]));
}
