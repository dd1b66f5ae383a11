import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Daemon, startDaemon } from "../support/use-daemon.ts";
import { configFor, eventually, type Place, usePlace } from "../support/use-master.ts";

describe("the data folder of a master", () => {
  let place: Place;
  let daemons: Daemon[];
  let children: ChildProcess[];

  beforeEach(async () => {
    place = await usePlace();
    daemons = [];
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    for (const daemon of daemons) await daemon.stop();
    await place.dispose();
  });

  const start = (env: Record<string, string> = {}, args: string[] = []) => {
    const { dockerSocket, composePath } = configFor(place);
    const daemon = startDaemon("master", args, {
      DECNET_DATA_DIR: place.dataDir,
      DECNET_PORT: "0",
      DECNET_DOCKER_SOCKET: dockerSocket,
      ...(composePath === undefined ? {} : { DECNET_COMPOSE: composePath }),
      ...env,
    });
    daemons.push(daemon);
    return daemon;
  };
  const ended = (daemon: Daemon, timeoutMs = 30_000) => eventually(async () => daemon.exitCode() !== undefined, timeoutMs);
  const pidFile = () => join(place.dataDir, "postgres/data/postmaster.pid");
  const postmaster = async () => (await readFile(pidFile(), "utf8")).split("\n");
  const ready = async (daemon: Daemon) => {
    const { port } = await daemon.said("master started");
    return async () => {
      const response = await fetch(`http://127.0.0.1:${String(port)}/readyz`);
      return ((await response.json()) as { database: string }).database === "ok";
    };
  };
  const killDatabase = async () => {
    const [pid = ""] = await postmaster();
    const kin = (await execa("ps", ["-o", "pid=", "--ppid", pid])).stdout.split("\n").map(Number);
    for (const each of [Number(pid), ...kin]) process.kill(each, "SIGKILL");
  };

  it("is one master's: a second start names it and what to do, and the first goes on undisturbed", async () => {
    const first = start();
    const isReady = await ready(first);
    const before = await postmaster();
    const second = start();
    await ended(second);
    expect(second.exitCode()).toBe(6);
    const said = second.log.at(-1) as { reason: string; why: string; next: string[] };
    expect(said.reason).toBe("DATA_FOLDER_IN_USE");
    expect(said.why).toContain(`${place.dataDir} is in use by decnet master, process ${first.pid} on `);
    expect(said.why).toMatch(/listening on 127\.0\.0\.1:\d+$/);
    expect(said.next.join()).toContain(`Stop process ${first.pid}`);
    expect(await postmaster()).toEqual(before);
    expect(await isReady()).toBe(true);
    expect(await first.stop()).toBeLessThan(10_000);
    expect(existsSync(before[4] ?? "")).toBe(false);
  });

  it("goes to exactly one of several that start together, and to the next after a crash", async () => {
    const rivals = [start(), start(), start()];
    const running = () => rivals.filter((daemon) => daemon.exitCode() === undefined);
    await eventually(async () => running().length === 1, 60_000);
    const [winner] = running();
    await winner?.said("master started");
    for (const loser of rivals.filter((daemon) => daemon !== winner)) expect(loser.exitCode()).toBe(6);
    await winner?.stop("SIGKILL");
    const next = start();
    expect(await (await ready(next))()).toBe(true);
  });

  it("stays empty when the settings are refused, and all of them are named", async () => {
    const refused = start({ DECNET_HOST: "0.0.0.0", DECNET_PARALLEL: "many", DECNET_TLS_PORT: "7443x" });
    await ended(refused);
    expect(refused.exitCode()).toBe(2);
    expect((refused.log.at(-1) as { why: string }).why).toMatch(/DECNET_PARALLEL: .*DECNET_HOST: .*DECNET_TLS_PORT: /);
    expect(await readdir(place.dataDir)).toEqual([]);
  });

  it("is not touched by a word that is no command", async () => {
    for (const [args, code] of [
      [["--help"], 0],
      [["--version"], 0],
      [["--nonsense"], 2],
      [["start"], 2],
    ] as const) {
      const daemon = start({}, [...args]);
      await ended(daemon);
      expect([args, daemon.exitCode()]).toEqual([args, code]);
      expect(daemon.log).toEqual([]);
      expect(daemon.noise.length).toBeGreaterThan(0);
    }
    expect(await readdir(place.dataDir)).toEqual([]);
  });

  it("may hold a stale lock file of the database that names somebody else's process", async () => {
    const first = start();
    await ready(first);
    const lines = await postmaster();
    await first.stop();
    const stranger = spawn("bash", ["-c", "exec -a postgres sleep 600"], { cwd: "/", stdio: "ignore" });
    children.push(stranger);
    await writeFile(pidFile(), [String(stranger.pid), ...lines.slice(1)].join("\n"));
    const since = Date.now();
    const next = start();
    expect(await (await ready(next))()).toBe(true);
    expect(Date.now() - since).toBeLessThan(15_000);
    expect(stranger.exitCode).toBe(null);
  });

  it("gets its database back when the server and the folder of its socket are gone, and when only the folder is", async () => {
    const master = start();
    const isReady = await ready(master);
    const [first, , , , socketFolder = ""] = await postmaster();
    const isAnother = async (pid: string | undefined) => (await postmaster().catch(() => [pid]))[0] !== pid && (await isReady());
    await killDatabase();
    await rm(socketFolder, { recursive: true });
    await eventually(() => isAnother(first), 30_000);
    const [second] = await postmaster();
    await rm(socketFolder, { recursive: true });
    await eventually(() => isAnother(second), 30_000);
    expect(await master.stop()).toBeLessThan(10_000);
    expect(existsSync(socketFolder)).toBe(false);
  });

  it("is let go of within two seconds also while the database cannot be started; trying is not hectic", async () => {
    const master = start();
    await ready(master);
    const control = join(place.dataDir, "postgres/data/global/pg_control");
    await rename(control, `${control}.away`);
    await killDatabase();
    const log = join(place.dataDir, "postgres/server.log");
    const tries = async () =>
      (await readFile(log, "utf8")).split("\n").filter((line) => line.includes("could not find the database system")).length;
    const since = Date.now();
    await eventually(async () => (await tries()) >= 8, 60_000);
    expect(Date.now() - since).toBeGreaterThan(3_000);
    expect(await master.stop()).toBeLessThan(4_000);
    expect(await readdir(place.dataDir)).not.toContain("daemon.lock");
    await rename(`${control}.away`, control);
    expect(await (await ready(start()))()).toBe(true);
  });

  it("is let go of, and no server is left, when a start is broken off", async () => {
    const master = start();
    const [pid = ""] = await eventually(() => postmaster().catch(() => undefined), 30_000);
    expect(await master.stop()).toBeLessThan(6_000);
    expect(master.exitCode()).toBe(0);
    expect(existsSync(`/proc/${pid}/cwd`)).toBe(false);
    expect(await readdir(place.dataDir)).not.toContain("daemon.lock");
    expect(await (await ready(start()))()).toBe(true);
  });

  it("is let go of while the start waits for a database that never answers", async () => {
    const silent = net.createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    try {
      const { port } = silent.address() as net.AddressInfo;
      const asked = once(silent, "connection");
      const master = start({ DECNET_DATABASE_URL: `postgresql://x@127.0.0.1:${port}/x` });
      await asked;
      expect(await master.stop()).toBeLessThan(4_000);
      expect(master.exitCode()).toBe(0);
      expect(await readdir(place.dataDir)).not.toContain("daemon.lock");
    } finally {
      silent.close();
    }
  });

  it("has a warning in the log for each variable that is no setting", async () => {
    const master = start({ DECNET_TSL_HOST: "0.0.0.0", DECNET_TOKEN: "of the command line" });
    await master.said("master started");
    const warned = master.log.filter((line) => line["msg"] === "a setting has no meaning and is ignored");
    expect(warned.map((line) => line["setting"])).toEqual(["DECNET_TSL_HOST"]);
  });
});
