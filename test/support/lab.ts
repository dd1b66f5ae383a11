import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { docker, enginePid, loadImages, removeImages, saveImages, startEngine, stopEngine } from "./lab/engine.ts";
import { type LongRunningProgram, type RunningProgram, type RunOptions, runInside, spawnInside } from "./lab/inside.ts";
import { cutHost, healHost, layNetwork } from "./lab/network.ts";
import type { HostPlan, LabPlan } from "./lab/plan.ts";
import { placeImages, readyImages } from "./lab/ready-images.ts";
import { registerLab } from "./lab/register.ts";
import { removeLab } from "./lab/remove.ts";

/** A host of its own: network namespace, host name, Docker engine. It shares the machine's file system and process ids. */
export interface LabHost {
  /** Host name and network namespace, at most 13 letters, unique on this machine. */
  readonly name: string;
  /** Unix socket of its Docker engine. */
  readonly socket: string;
  /** A folder for an agent's state. */
  readonly stateDir: string;
  /** On the lab's network. */
  readonly address: string;
  /** Runs a program on the host to its end, 20 seconds at most unless told otherwise. DOCKER_HOST names the host's engine. */
  run(file: string, args: readonly string[], options?: RunOptions): RunningProgram;
  /** Lines that `docker` answers on the host's engine. */
  docker(args: readonly string[]): Promise<string[]>;
  /** Starts a program on the host; its pid is the child's. It is ended with the lab if it still runs then. */
  spawn(file: string, args: readonly string[], env?: Readonly<Record<string, string>>): LongRunningProgram;
  /** From now on everything to and from the host is lost without a word. What runs on it goes on. */
  cut(): Promise<void>;
  heal(): Promise<void>;
  /** Ends the host's engine, starts it again and waits until it answers. It is away at least until `meanwhile` has ended. */
  restartEngine(how: "SIGTERM" | "SIGKILL", meanwhile?: () => Promise<void>): Promise<void>;
  /** The host's engine takes calls and does not answer them until `meanwhile` has ended. */
  freezeEngine(meanwhile: () => Promise<void>): Promise<void>;
}

export interface Lab {
  readonly hosts: readonly LabHost[];
  /** Address of this machine on the lab's network, where a master can listen. */
  readonly masterAddress: string;
  /** The network namespace with the bridge that everybody's cable ends at. */
  readonly switchName: string;
  /** Removes everything, and fails when something is left. A second call answers as the first. */
  dispose(): Promise<void>;
}

export interface LabOptions {
  readonly hosts: number;
  /** Tags of the machine's own engine; every host's engine gets them. */
  readonly images: readonly string[];
}

/** Several real hosts on this machine, for a test. */
export async function useLab(options: LabOptions): Promise<Lab> {
  const name = `t${process.env["DECNET_TEST_RUN"] ?? ""}${randomBytes(2).toString("hex")}`;
  const plan = await registerLab(name, options.hosts, { pid: process.pid });
  await bringUp(plan, options.images);
  return openLab(plan);
}

/** Makes what a registered plan says. When something fails, nothing stays. */
export async function bringUp(plan: LabPlan, images: readonly string[]): Promise<void> {
  try {
    const archive = join(plan.folder, "images.tar");
    const placed = images.length === 0 ? [] : await readyImages();
    if (placed.length > 0) await finishAll(plan.hosts.map((host) => placeImages(host.dataRoot)));
    const missing = images.filter((image) => !placed.includes(image));
    const superfluous = placed.filter((image) => !images.includes(image));
    const engines = layNetwork(plan).then(() => finishAll(plan.hosts.map((host) => startEngine(host))));
    await finishAll(missing.length === 0 ? [engines] : [engines, saveImages(missing, archive)]);
    await finishAll(
      plan.hosts.map(async (host) => {
        if (missing.length > 0) await loadImages(host, archive);
        if (superfluous.length > 0) await removeImages(host, superfluous);
      }),
    );
    await rm(archive, { force: true });
  } catch (error) {
    await removeLab(plan);
    throw error;
  }
}

/** Waits for the end of all of them, so that none goes on while a failure of another is cleaned up. */
async function finishAll(acts: readonly Promise<void>[]): Promise<void> {
  for (const end of await Promise.allSettled(acts)) if (end.status === "rejected") throw end.reason;
}

/** A lab that is up. */
export function openLab(plan: LabPlan): Lab {
  let removal: Promise<void> | undefined;
  return {
    hosts: plan.hosts.map((host) => openHost(plan, host)),
    masterAddress: plan.masterAddress,
    switchName: plan.switchName,
    dispose: () => {
      removal ??= removeLab(plan);
      return removal;
    },
  };
}

function openHost(plan: LabPlan, host: HostPlan): LabHost {
  return {
    name: host.name,
    socket: host.socket,
    stateDir: host.stateDir,
    address: host.address,
    run: (file, args, options) => runInside(host, file, args, options),
    docker: async (args) => (await docker(host, args)).stdout.split("\n").filter((line) => line !== ""),
    spawn: (file, args, env = {}) => spawnInside(host, file, args, env),
    cut: () => cutHost(plan, host),
    heal: () => healHost(plan, host),
    restartEngine: async (how, meanwhile) => {
      if (!(await stopEngine(host, how))) throw new Error(`${host.name}: its engine did not end on ${how}`);
      try {
        await meanwhile?.();
      } finally {
        await startEngine(host);
      }
    },
    freezeEngine: async (meanwhile) => {
      const pid = await enginePid(host);
      if (pid === undefined) throw new Error(`${host.name}: its engine does not run`);
      process.kill(pid, "SIGSTOP");
      await meanwhile().finally(() => process.kill(pid, "SIGCONT"));
    },
  };
}
