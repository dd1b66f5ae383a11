import { once } from "node:events";
import { runBounded } from "@decnet/common/runtime/run-bounded";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { debianBase } from "@decnet/engine/tables/distros";
import { containersOf } from "./ask-engine.ts";
import { ownCatalog, testCatalog } from "./catalogs.ts";
import type { LongRunningProgram } from "./lab/inside.ts";
import { type Lab, type LabHost, useLab } from "./lab.ts";
import { ownProgram, testProgram } from "./programs.ts";
import { serviceImages } from "./service-images.ts";
import { eventually, type TestMaster, useMaster } from "./use-master.ts";

/** Programs that start all at once keep each other from being ready in time. */
const joiningTogether = 4;
/** However much it is in the middle of. */
const endMs = 30_000;

/** A worker of the lab: a host with an agent in a process of its own. */
export interface Worker {
  /** As the master knows it. */
  readonly name: string;
  readonly host: LabHost;
  /** Runs `decnet agent …` on the host. */
  agent(...args: string[]): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }>;
  /** Starts the agent and waits until the master sees it. */
  start(env?: Readonly<Record<string, string>>): Promise<LongRunningProgram>;
  stop(signal: NodeJS.Signals): Promise<void>;
  /** Does several things to the host between two looks of its agent, which stands still meanwhile. */
  unseen<T>(work: () => Promise<T>): Promise<T>;
  /** Id, start time and restart count of each container on the host, by name. */
  containers(prefix?: string): Promise<Map<string, string>>;
}

export interface Swarm {
  readonly lab: Lab;
  readonly master: TestMaster;
  readonly workers: readonly Worker[];
  isConnected(name: string): Promise<boolean>;
  dispose(): Promise<void>;
}

/**
 * Images that every decoy of these tests needs, as tags of this machine's engine; hosts of the lab have no way out to build
 * them.
 */
export async function imagesFor(slugs: readonly string[]): Promise<string[]> {
  const catalog = await loadCatalog([ownCatalog, testCatalog]);
  const images = await serviceImages(slugs.map((slug) => catalog.services.get(slug) ?? raise(slug)));
  return [debianBase, ...images.map((image) => image.tag)];
}

function raise(slug: string): never {
  throw new Error(`no service ${slug}`);
}

/** A real master, real hosts with engines of their own, and a real agent on each, joined by token. */
export async function useSwarm(options: {
  hosts: number;
  slugs?: readonly string[];
  env?: Record<string, string>;
  /** False leaves the hosts without agents. */
  join?: boolean;
}): Promise<Swarm> {
  const lab = await useLab({ hosts: options.hosts, images: await imagesFor(options.slugs ?? ["redis", "http", "ssh"]) });
  let master: TestMaster;
  try {
    master = await useMaster({ env: { DECNET_TLS_HOST: lab.masterAddress, DECNET_TLS_PORT: "0", ...options.env } });
  } catch (error) {
    await lab.dispose();
    throw error;
  }
  const isConnected = async (name: string) =>
    (await master.swarm.getHost({ name }).catch(() => undefined))?.host?.state === HostState.CONNECTED;
  const workers = lab.hosts.map((host, index): Worker => createWorker(host, `edge-${index + 1}`, isConnected));
  const dispose = async () => {
    const stopped = await Promise.allSettled(workers.map((worker) => worker.stop("SIGTERM")));
    await master.dispose().finally(() => lab.dispose());
    for (const end of stopped) if (end.status === "rejected") throw end.reason;
  };
  if (options.join !== false)
    try {
      await runBounded(workers, joiningTogether, (worker) => joinWorker(master, worker));
    } catch (error) {
      await dispose();
      throw error;
    }
  return { lab, master, workers, isConnected, dispose };
}

/** Invites a host, joins it, starts its agent. */
export async function joinWorker(
  master: Pick<TestMaster, "swarm">,
  worker: Worker,
  { env, labels = {} }: { env?: Record<string, string>; labels?: Record<string, string> } = {},
): Promise<void> {
  const { secret } = await master.swarm.createJoinToken({ hostName: worker.name, labels });
  const joined = await worker.agent("join", secret);
  if (joined.exitCode !== 0) throw new Error(`join failed: ${joined.stderr}`);
  await worker.start(env);
}

export function createWorker(host: LabHost, name: string, isConnected: (name: string) => Promise<boolean>): Worker {
  const env = {
    DECNET_AGENT_DIR: host.stateDir,
    DECNET_AGENT_PORT: "7441",
    DECNET_DOCKER_SOCKET: host.socket,
    DECNET_CATALOGUE: testCatalog,
    DECNET_LOG_LEVEL: "error",
    DECNET_DRIFT_INTERVAL_MS: "1000",
  };
  let running: LongRunningProgram | undefined;
  return {
    name,
    host,
    async agent(...args) {
      const result = await host.run(process.execPath, [...ownProgram("agent"), ...args], { env, timeout: 60_000, reject: false });
      return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
    },
    async start(more = {}) {
      const isKilled = (more["CRASH_AT"] ?? more["CRASH_AFTER"]) !== undefined;
      const program = isKilled ? testProgram("crashing-agent.ts") : [...ownProgram("agent"), "run"];
      running = host.spawn(process.execPath, program, { ...env, ...more });
      const mine = running;
      await eventually(async () => (await isConnected(name)) || hasEnded(mine), 30_000);
      return running;
    },
    async stop(signal) {
      const mine = running;
      running = undefined;
      if (mine === undefined || hasEnded(mine)) return;
      const exit = once(mine, "exit", { signal: AbortSignal.timeout(endMs) });
      mine.kill(signal);
      await exit.catch((error: unknown) => {
        mine.kill("SIGKILL");
        throw new Error(`the agent of ${name} did not end within ${endMs} ms after ${signal}`, { cause: error });
      });
    },
    async unseen(work) {
      const mine = running;
      mine?.kill("SIGSTOP");
      return work().finally(() => void mine?.kill("SIGCONT"));
    },
    containers: (prefix = "") => containersOf(prefix, host.socket),
  };
}

function hasEnded(program: LongRunningProgram): boolean {
  return program.exitCode !== null || program.signalCode !== null;
}
