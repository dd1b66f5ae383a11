import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";

export const root = resolve(import.meta.dirname, "../..");
export const rulesFile = join(root, ".dependency-cruiser.cjs");

export interface Violation {
  readonly rule: string;
  readonly from: string;
  readonly to: string;
}

/** Applies the rules to every import below `folder`, a tree laid out like this repository. */
export async function cruise(folder: string): Promise<{ modules: number; violations: Violation[] }> {
  const args = ["packages", "test", "bench", "--config", ".dependency-cruiser.cjs", "--output-type", "json"];
  const { stdout } = await execa("depcruise", args, { cwd: folder, preferLocal: true, localDir: root, reject: true });
  const { summary } = JSON.parse(stdout) as {
    summary: { totalCruised: number; violations: { rule: { name: string }; from: string; to: string }[] };
  };
  return {
    modules: summary.totalCruised,
    violations: summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to })),
  };
}

/** A throw-away tree with the real rules, workspaces that resolve like ours, and stand-ins for the named libraries. */
export async function createTree(
  files: Readonly<Record<string, string>>,
  workspaces: readonly string[],
  libraries: readonly string[],
) {
  const folder = await mkdtemp(join(tmpdir(), "decnet-architecture-"));
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  for (const name of [".dependency-cruiser.cjs", "tsconfig.base.json"]) await copyFile(join(root, name), join(folder, name));
  await mkdir(join(folder, "node_modules/@decnet"), { recursive: true });
  for (const name of workspaces) {
    const manifest = {
      name: `@decnet/${name}`,
      type: "module",
      exports: { "./*": { source: "./src/*.ts", default: "./dist/*.js" } },
    };
    await write(`packages/${name}/package.json`, JSON.stringify(manifest));
    await symlink(join(folder, "packages", name), join(folder, "node_modules/@decnet", name));
  }
  for (const name of libraries) {
    await write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "index.js" }));
    await write(`node_modules/${name}/index.js`, "");
  }
  for (const name of ["test", "bench"]) await mkdir(join(folder, name), { recursive: true });
  for (const [path, text] of Object.entries(files)) await write(path, text);
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}
