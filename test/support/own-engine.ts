import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { processesWith } from "./processes.ts";
import { eventually } from "./use-master.ts";

export interface OwnEngineOptions {
  /** Its daemon.json. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** What it finds in /etc/subuid and /etc/subgid, lines of `user:first:count`; nobody else sees them. */
  readonly subordinates?: string;
}

/** For an engine in another network namespace than the test: nothing that is done here could contain its deckies. */
export const elsewhere = { isContaining: false } as const;
export const elsewhereEnv = { DECNET_CONTAINMENT: "off" } as const;

/** A Docker engine of the test's own, in a network namespace of its own, that may be stopped, killed and started again. */
export async function useOwnEngine({ settings = {}, subordinates }: OwnEngineOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
  await chmod(folder, 0o711);
  const socketPath = join(folder, "engine.sock");
  const netns = `t${randomBytes(4).toString("hex")}`;
  const pidFile = join(folder, "engine.pid");
  const log = join(folder, "engine.log");
  const configFile = join(folder, "daemon.json");
  await writeFile(configFile, JSON.stringify(settings));
  const subids = join(folder, "subids");
  if (subordinates !== undefined) await writeFile(subids, `${subordinates}\n`);
  const bind = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"';
  const among = subordinates === undefined ? [] : ["unshare", "--mount", "sh", "-c", bind, subids];
  let engine: ChildProcess | undefined;

  const docker = (args: string[], options: { input?: string } = {}) =>
    execa("docker", ["-H", `unix://${socketPath}`, ...args], options);
  const start = async () => {
    // The engine takes a process that has the number of a killed one now for itself.
    await rm(pidFile, { force: true });
    const output = await open(log, "a");
    const child = spawn(
      "nsenter",
      [
        `--net=/run/netns/${netns}`,
        ...among,
        "dockerd",
        "--config-file",
        configFile,
        "--data-root",
        join(folder, "data"),
        "--exec-root",
        join(folder, "run"),
        "--pidfile",
        pidFile,
        "-H",
        `unix://${socketPath}`,
      ],
      {
        env: { ...process.env, PATH: `/opt/decnet/engine/bin:${process.env["PATH"] ?? ""}` },
        stdio: ["ignore", output.fd, output.fd],
      },
    );
    await output.close();
    engine = child;
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`the engine ended:\n${(await readFile(log, "utf8")).slice(-2_000)}`);
      return (await execa("docker", ["-H", `unix://${socketPath}`, "version"], { reject: false })).exitCode === 0;
    }, 60_000);
  };
  /** Ends the engine's own process, and nothing else. */
  const stop = async (signal: "SIGTERM" | "SIGKILL") => {
    const child = engine;
    engine = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  };

  /** Removes what is there when no engine runs. */
  const clear = async () => {
    await eventually(async () => (await processesWith(folder)).length === 0);
    const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
    for (const mount of mounts.filter((each) => each.startsWith(`${folder}/`)).reverse()) await execa("umount", [mount]);
    await execa("ip", ["netns", "del", netns]);
    await rm(folder, { recursive: true });
  };

  await execa("ip", ["netns", "add", netns]);
  await execa("ip", ["-n", netns, "link", "set", "lo", "up"]);
  try {
    await start();
  } catch (error) {
    await stop("SIGKILL");
    await clear();
    throw error;
  }
  return {
    socketPath,
    netns,
    docker,
    start,
    stop,
    /** Copies images from the engine that all tests share. */
    async load(images: readonly string[]) {
      const archive = join(folder, "images.tar");
      await execa("docker", ["save", "-o", archive, ...images]);
      await docker(["load", "-i", archive]);
      await rm(archive);
    },
    async dispose() {
      if (engine === undefined) await start();
      const { stdout } = await docker(["ps", "-aq"]);
      if (stdout !== "") await docker(["rm", "-f", ...stdout.split("\n")]);
      await stop("SIGTERM");
      await clear();
    },
  };
}
