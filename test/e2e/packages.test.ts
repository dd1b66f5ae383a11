import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NextStep } from "@decnet/contract/next-steps";
import { reasons } from "@decnet/contract/reasons";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../architecture/cruise.ts";
import { type Manifest, packages, readManifest } from "../architecture/imports.ts";

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

describe("the packages, packed and unpacked elsewhere", () => {
  let folder: string;
  const packed = new Map<string, Packed>();
  const manifests = new Map<string, Manifest>();

  beforeAll(async () => {
    await execa("tsc", ["-b", ...packages.map((name) => `packages/${name}`)], { cwd: root, preferLocal: true });
    folder = await mkdtemp(join(tmpdir(), "decnet-packages-"));
    await mkdir(join(folder, "node_modules/@decnet"), { recursive: true });
    for (const entry of await readdir(join(root, "node_modules")))
      if (entry !== "@decnet") await symlink(join(root, "node_modules", entry), join(folder, "node_modules", entry));
    for (const name of packages) {
      const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder, "--workspace", `packages/${name}`];
      const { stdout } = await execa("npm", args, { cwd: root });
      const [one] = JSON.parse(stdout) as Packed[];
      const home = join(folder, "node_modules/@decnet", name);
      await mkdir(home);
      await execa("tar", ["-xzf", join(folder, one!.filename), "-C", home, "--strip-components=1"]);
      packed.set(name, one!);
      manifests.set(name, await readManifest(`packages/${name}`));
    }
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(packages)("%s takes along its exported files and its programs, and no test", (name) => {
    const files = packed.get(name)?.files.map(({ path }) => `./${path}`) ?? [];
    const { exports = {}, bin = {} } = manifests.get(name)!;
    const promised = [...Object.values(exports).flatMap((target) => Object.values(target)), ...Object.values(bin)];
    expect(promised.filter((path) => !files.includes(path))).toEqual([]);
    expect(files.filter((path) => /\.test\.|tsbuildinfo|tsconfig/.test(path))).toEqual([]);
  });

  it.each(packages)("%s can be imported, each subpath of it", async (name) => {
    const subpaths = Object.keys(manifests.get(name)?.exports ?? {}).map((subpath) => join("@decnet", name, subpath));
    const script = `for (const path of ${JSON.stringify(subpaths)}) await import(path);`;
    await execa("node", ["--input-type=module", "--eval", script], { cwd: folder });
  });

  it.each([
    ["cli", "main.js"],
    ["agent", "main.js"],
  ])("the program of %s starts", async (name, file) => {
    const { stdout } = await execa("node", [join("node_modules/@decnet", name, "dist", file), "--help"], { cwd: folder });
    expect(stdout).toContain("Usage: decnet");
  });

  it("the agent has the commands that next steps of errors name", async () => {
    const steps = Object.values(reasons).flatMap(({ next }) => next as readonly NextStep[]);
    const commands = steps.flatMap(({ command = [] }) => (command[0] === "agent" ? [command.slice(1)] : []));
    expect(commands).not.toEqual([]);
    for (const command of commands) {
      const { stdout } = await execa("node", ["node_modules/@decnet/agent/dist/main.js", ...command, "--help"], { cwd: folder });
      expect(stdout).toContain(`Usage: decnet agent ${command[0]}`);
    }
  });
});
