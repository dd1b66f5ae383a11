import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFolder } from "@decnet/common/runtime/folder-lock";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { testProgram } from "../support/programs.ts";
import { eventually } from "../support/use-master.ts";

describe("the private database", () => {
  let folder: string;
  let dataDir: string;
  let strangers: ChildProcess[];
  const pidFile = () => join(dataDir, "postgres/data/postmaster.pid");
  const pid = async () => (await readFile(pidFile(), "utf8")).split("\n")[0] ?? "";
  const runs = (id: string) => existsSync(`/proc/${id}/cwd`);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    dataDir = join(folder, "data");
    await mkdir(dataDir, { mode: 0o711 });
    strangers = [];
  });
  afterEach(async () => {
    for (const child of strangers) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  it("starts at once although a stale lock file names another program, also where processes cannot be looked into", async () => {
    const server = await openPrivatePostgres(dataDir);
    const lines = (await readFile(pidFile(), "utf8")).split("\n");
    await server.stop();
    const owner = await stat(join(dataDir, "postgres/data"));
    for (const [name, uid] of [
      ["postgres", owner.uid],
      ["/usr/lib/postgresql/15/bin/postgres", 65_534],
    ] as const) {
      const child = spawn("bash", ["-c", 'exec -a "$0" sleep 600', name], { cwd: "/", stdio: "ignore", uid });
      strangers.push(child);
      await writeFile(pidFile(), [String(child.pid), ...lines.slice(1)].join("\n"));
      const blind = ["--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"];
      const node = [process.execPath, ...testProgram("open-postgres.ts"), dataDir];
      const { stdout } = await execa("setpriv", [...blind, ...node], { timeout: 60_000 });
      expect((JSON.parse(stdout) as { startedMs: number }).startedMs, name).toBeLessThan(15_000);
      expect(child.exitCode).toBe(null);
    }
  });

  it("starts although its lock file names no process that there can be", async () => {
    const server = await openPrivatePostgres(dataDir);
    const lines = (await readFile(pidFile(), "utf8")).split("\n");
    await server.stop();
    for (const pid of ["-1", "99999999999999", "\u0000\u0000"]) {
      await writeFile(pidFile(), [pid, ...lines.slice(1)].join("\n"));
      await (await openPrivatePostgres(dataDir)).stop();
    }
  });

  it("is left alone by the master before, whose folder was replaced under it, and that one's own ends with it", async () => {
    const signal = new AbortController().signal;
    const first = await lockFolder(dataDir, "decnet master", 0o711);
    const before = await openPrivatePostgres(dataDir, signal, first.isHeld);
    const old = await pid();
    const ending = new AbortController();
    const kept = before.keepRunning(ending.signal, () => expect.fail("it started a server in another one's folder"));
    await rename(dataDir, `${dataDir}.old`);
    await mkdir(dataDir, { mode: 0o711 });
    const second = await lockFolder(dataDir, "decnet master", 0o711);
    const after = await openPrivatePostgres(dataDir, signal, second.isHeld);
    const now = await pid();
    try {
      ending.abort();
      await kept;
      await before.stop();
      await first.release();
      await eventually(async () => !runs(old));
      expect([runs(now), existsSync(join(after.socketFolder, ".s.PGSQL.5432"))]).toEqual([true, true]);
      expect(await second.isHeld()).toBe(true);
    } finally {
      await after.stop();
      await second.release();
    }
    expect(runs(now)).toBe(false);
  });

  it("is its successor's when the lock of the folder is", async () => {
    const first = await lockFolder(dataDir, "decnet master", 0o711);
    const before = await openPrivatePostgres(dataDir, undefined, first.isHeld);
    await rm(join(dataDir, "daemon.lock"));
    const second = await lockFolder(dataDir, "decnet master", 0o711);
    const after = await openPrivatePostgres(dataDir, undefined, second.isHeld);
    const shared = await pid();
    await before.stop();
    await first.release();
    expect([runs(shared), await second.isHeld()]).toEqual([true, true]);
    await after.stop();
    expect(runs(shared)).toBe(false);
    await second.release();
  });
});
