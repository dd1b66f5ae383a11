import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, chmod, mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { isServing } from "./ask-engine.ts";
import { eventually } from "./eventually.ts";
import { type EnginePlace, forgetEngine, noteEngine, takeLeftEngines } from "./left-engines.ts";
import { useOwnTablesIn } from "./own-tables.ts";
import { processesWith } from "./processes.ts";

export interface OwnEngineOptions {
  /** Its daemon.json. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** What it finds in /etc/subuid and /etc/subgid, lines of `user:first:count`; nobody else sees them. */
  readonly subordinates?: string;
  /** Its data is on an xfs of this many megabytes, with project quotas. */
  readonly xfsMb?: number;
}

/** For an engine in another network namespace than the test: nothing that is done here could contain its deckies. */
export const elsewhere = { isContaining: false } as const;
export const elsewhereEnv = { DECNET_CONTAINMENT: "off" } as const;

/** A Docker engine of the test's own, in a network namespace of its own, that may be stopped, killed and started again. */
export async function useOwnEngine({ settings = {}, subordinates, xfsMb }: OwnEngineOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
  await chmod(folder, 0o711);
  const netns = `t${randomBytes(4).toString("hex")}`;
  const record = await noteEngine({ folder, netns });
  await writeFile(join(folder, "daemon.json"), JSON.stringify(settings));
  if (subordinates !== undefined) await writeFile(join(folder, "subids"), `${subordinates}\n`);
  const engine = engineAt({ folder, netns });

  if (xfsMb !== undefined) await mountXfs(folder, xfsMb);
  await execa("ip", ["netns", "add", netns]);
  await execa("ip", ["-n", netns, "link", "set", "lo", "up"]);
  await useOwnTablesIn(netns);
  try {
    await engine.start();
  } catch (error) {
    await engine.stop("SIGKILL");
    await engine.clear();
    await forgetEngine(record);
    throw error;
  }
  const { socketPath, docker, start, stop } = engine;
  return {
    socketPath,
    netns,
    /** Where it keeps everything. */
    dataFolder: join(folder, "data"),
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
      await engine.remove();
      await forgetEngine(record);
    },
  };
}

/** The device goes with the mount. */
async function mountXfs(folder: string, megabytes: number): Promise<void> {
  const [image, data] = [join(folder, "disk.img"), join(folder, "data")];
  await execa("truncate", ["-s", `${megabytes}M`, image]);
  await execa("mkfs.xfs", ["-q", image]);
  await mkdir(data);
  await execa("mount", ["-o", "loop,prjquota", image, data]);
}

/** Removes what the engines of test commands left behind that were ended in the middle. */
export async function removeLeftEngines(): Promise<void> {
  for (const { record, place } of await takeLeftEngines()) {
    await engineAt(place).remove();
    await forgetEngine(record);
  }
}

/** An engine that was or will be there, with what it keeps in its folder. */
function engineAt({ folder, netns }: EnginePlace) {
  const socketPath = join(folder, "engine.sock");
  const pidFile = join(folder, "engine.pid");
  const log = join(folder, "engine.log");
  const configFile = join(folder, "daemon.json");
  const subids = join(folder, "subids");
  const bind = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"';
  let engine: ChildProcess | undefined;

  const docker = (args: string[], options: { input?: string } = {}) =>
    execa("docker", ["-H", `unix://${socketPath}`, ...args], options);
  const start = async () => {
    // The engine takes a process that has the number of a killed one now for itself.
    await rm(pidFile, { force: true });
    const among = (await isThere(subids)) ? ["unshare", "--mount", "sh", "-c", bind, subids] : [];
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
      return isServing(socketPath);
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
  /** The process of an engine that another test command started. */
  const leftPid = async (): Promise<number | undefined> => {
    const pid = Number(await readFile(pidFile, "utf8").catch(() => "0"));
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return line.includes(folder) ? pid : undefined;
  };
  const stopLeft = async () => {
    const pid = await leftPid();
    if (pid === undefined) return;
    process.kill(pid, "SIGTERM");
    await eventually(async () => (await leftPid()) === undefined, 60_000);
  };

  /** Removes what is there when no engine runs. */
  const clear = async () => {
    await eventually(async () => (await processesWith(folder)).length === 0);
    const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
    for (const mount of mounts.filter((each) => each.startsWith(`${folder}/`)).reverse()) await execa("umount", [mount]);
    if (await isThere(`/run/netns/${netns}`)) await execa("ip", ["netns", "del", netns]);
    await rm(folder, { recursive: true, force: true });
  };

  return {
    socketPath,
    docker,
    start,
    stop,
    clear,
    /** Its containers, itself, and all that it kept. */
    async remove() {
      // Without a namespace it never ran.
      if (await isThere(`/run/netns/${netns}`)) {
        if (engine === undefined && (await leftPid()) === undefined) await start();
        const { stdout } = await docker(["ps", "-aq"]);
        if (stdout !== "") await docker(["rm", "-f", ...stdout.split("\n")]);
        await stop("SIGTERM");
        await stopLeft();
      }
      await clear();
    },
  };
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
