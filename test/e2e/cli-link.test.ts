import { lstat, mkdtemp, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");

describe("decnet on the PATH", () => {
  let folder: string;
  const path = () => `${folder}:${process.env["PATH"]}`;
  const link = (act: string, env: Record<string, string> = {}) =>
    execa(join(root, "scripts/link-cli.sh"), [act], { env: { PATH: path(), DECNET_BIN_DIR: folder, ...env }, extendEnv: false });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-bin-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("is a link of ours, made once and taken away again", async () => {
    expect((await link("add")).stdout).toBe("decnet");
    expect(await readlink(join(folder, "decnet"))).toBe(join(root, "decnet"));
    expect((await link("add")).stdout).toBe("decnet");
    await link("remove");
    await expect(lstat(join(folder, "decnet"))).rejects.toThrow("ENOENT");
    await link("remove");
  });

  it.each<[what: string, make: (path: string) => Promise<void>]>([
    ["a program", (at) => writeFile(at, "#!/bin/sh\n", { mode: 0o755 })],
    ["a link to another checkout", (at) => symlink("/opt/other/decnet", at)],
  ])("is left alone when %s of that name is there", async (_, make) => {
    await make(join(folder, "decnet"));
    expect((await link("add")).stdout).toBe("./decnet");
    await link("remove");
    await lstat(join(folder, "decnet"));
  });

  it("is what the advised commands begin with, when it is found there; else what was typed", async () => {
    const env = { PATH: path(), HOME: folder, LANG: "C.UTF-8", DECNET_CONFIG: join(folder, "none.yaml") };
    const status = (program: string, more = {}) =>
      execa(program, ["status", "--address", "http://127.0.0.1:1"], {
        env: { ...env, ...more },
        extendEnv: false,
        cwd: root,
        reject: false,
      });
    expect((await status("./decnet")).stderr).toContain(" next:  ./decnet doctor");
    expect((await status(join(root, "decnet"))).stderr).toContain(` next:  ${join(root, "decnet")} doctor`);
    await link("add");
    expect((await status("decnet")).stderr).toContain(" next:  decnet doctor");
    const help = await execa("bash", ["-c", "./decnet status --help"], {
      env: { ...env, PATH: process.env["PATH"] },
      extendEnv: false,
      cwd: root,
    });
    expect(help.stdout).toContain("  ./decnet status --json");
  });
});
