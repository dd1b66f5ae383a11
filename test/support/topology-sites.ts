import { type Engine, openEngine } from "@decnet/engine/engine";
import { formatPlan } from "@decnet/engine/plan/plan";
import { isQuiet } from "@decnet/master/decide/resolve-drift";
import { execa } from "execa";
import { expect } from "vitest";
import { drawSubnets } from "./own-subnets.ts";
import { containersOf, dockerLines, eventually, type TestMaster, useMaster } from "./use-master.ts";
import { type Swarm, useSwarm } from "./use-swarm.ts";

/** Where a topology is, and how a test looks at it there, whichever host it is. */
export interface Site {
  readonly host: string;
  readonly master: TestMaster;
  /** An address of the host for gateways, which nobody else uses. */
  readonly publishOn: string;
  /** One of four networks that nobody else on the host has. */
  readonly subnetOf: ReturnType<typeof drawSubnets>;
  /** Undefined: the master's own host. */
  readonly swarm: Swarm | undefined;
  docker(...args: string[]): Promise<string[]>;
  run(file: string, ...args: string[]): Promise<string>;
  containers(prefix: string): Promise<Map<string, string>>;
  /** Does several things between two drift checks. */
  unseen<T>(work: () => Promise<T>): Promise<T>;
  /** Starts the master again, and the agent, when there is one. */
  restart(): Promise<void>;
  /** Resolves when so many more drift checks of the host were begun after this call. */
  checks(count: number): Promise<void>;
  /** Looks so many times at once at what the last drift check looked at, here; what it found to do, each time. */
  lookAgain(count: number): Promise<string[]>;
  dispose(): Promise<void>;
}

export interface SiteOptions {
  readonly slugs: readonly string[];
  readonly driftIntervalMs?: number;
}

const isAgain = 60_000;

export async function useThisHost({ driftIntervalMs = 1_000 }: SiteOptions): Promise<Site> {
  let begun = 0;
  let unseen: Promise<unknown> = Promise.resolve();
  let looking: Promise<unknown> = Promise.resolve();
  let look: (() => ReturnType<Engine["check"]>) | undefined;
  const publishOn = `198.18.${1 + (process.pid % 250)}.9`;
  await execa("ip", ["addr", "add", `${publishOn}/32`, "dev", "lo"]);
  const master = await useMaster({
    env: { DECNET_DRIFT_INTERVAL_MS: String(driftIntervalMs) },
    openHostEngine: async (options) => {
      const engine = await openEngine(options);
      return {
        ...engine,
        get warnings() {
          return engine.warnings;
        },
        async check(specs) {
          await unseen;
          begun += 1;
          look = () => engine.check(specs);
          const checked = engine.check(specs);
          looking = checked.catch(() => undefined);
          return checked;
        },
      };
    },
  });
  return {
    ...{ host: "local", master, publishOn, subnetOf: drawSubnets(), swarm: undefined },
    docker: (...args) => dockerLines(args),
    run: async (file, ...args) => (await execa(file, args)).stdout,
    containers: containersOf,
    async unseen(work) {
      let end: () => void = () => undefined;
      unseen = new Promise<void>((resolve) => {
        end = resolve;
      });
      await looking;
      return work().finally(end);
    },
    restart: () => master.restart(),
    async checks(count) {
      const from = begun;
      await eventually(async () => begun > from + count, isAgain);
    },
    async lookAgain(count) {
      const found: string[] = [];
      for (let at = 0; at < count; at += 1)
        for (const { plan } of (await look?.())?.deckies.values() ?? []) if (!isQuiet(plan)) found.push(formatPlan(plan));
      return found;
    },
    async dispose() {
      await master.dispose();
      await execa("ip", ["addr", "del", `${publishOn}/32`, "dev", "lo"], { reject: false });
    },
  };
}

export async function useWorkerHost({ slugs, driftIntervalMs = 1_000 }: SiteOptions): Promise<Site> {
  const swarm = await useSwarm({ hosts: 1, slugs });
  const { master, lab } = swarm;
  const worker = swarm.workers[0] ?? expect.fail("no worker");
  const { host } = worker;
  const publishOn = host.address.replace(/\d+$/, "211");
  await host.run("ip", ["addr", "add", `${publishOn}/24`, "dev", "eth0"]);
  const env = { DECNET_DRIFT_INTERVAL_MS: String(driftIntervalMs) };
  if (driftIntervalMs !== 1_000) {
    await worker.stop("SIGTERM");
    await worker.start(env);
  }
  return {
    ...{ host: worker.name, master, publishOn, subnetOf: drawSubnets(), swarm },
    docker: (...args) => host.docker(args),
    run: async (file, ...args) => (await host.run(file, args)).stdout,
    containers: (prefix) => worker.containers(prefix),
    unseen: worker.unseen,
    async restart() {
      await worker.stop("SIGKILL");
      await master.restart();
      await worker.start(env);
      await eventually(() => swarm.isConnected(worker.name), isAgain);
    },
    async checks(count) {
      // A worker tells when it has looked, at most once a second; each look that it tells of is a check.
      for (let seen = 0; seen < count; seen += 1) {
        const from = await newestLook(master);
        await eventually(async () => (await newestLook(master)) > from, isAgain);
      }
    },
    lookAgain: async () => [],
    dispose: () => swarm.dispose().finally(() => lab.dispose()),
  };
}

async function newestLook({ fleet }: TestMaster): Promise<number> {
  const { deckies } = await fleet.listDeckies({});
  const times = deckies.map(({ observedAt }) => Number(observedAt?.seconds ?? 0n) * 1_000 + (observedAt?.nanos ?? 0) / 1e6);
  return Math.max(0, ...times);
}
