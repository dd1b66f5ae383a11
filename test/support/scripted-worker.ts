import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAgentConfig } from "@decnet/agent/config";
import { readIdentity } from "@decnet/agent/identity";
import { joinSwarm } from "@decnet/agent/join";
import { type Agent, startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Catalog } from "@decnet/engine/catalog/types";
import { factsOf } from "./agent-facts.ts";
import { ownCatalog, testCatalog } from "./catalogs.ts";
import { openCuttableLine } from "./cuttable-line.ts";
import { createScriptedEngine, type ScriptedEngine } from "./scripted-engine.ts";
import { eventually, type TestMaster } from "./use-master.ts";

/** A worker in this process: a real agent that joined by the real call, with an engine that does what the test says. */
export interface ScriptedWorker {
  readonly name: string;
  readonly engine: ScriptedEngine;
  /** Its loopback port. */
  port(): number;
  /** Breaks the connection; resolves when the master knows. */
  cut(): Promise<void>;
  /** Resolves with true when the worker is connected, with false when it is decommissioned. */
  heal(): Promise<boolean>;
  /** Heals it with a new agent, if the line was ever cut: one that was cut off often comes back slowly. */
  recover(): Promise<boolean>;
  /** Resolves when the master took every report, and the agent what the master said to that. */
  untilReported(): Promise<void>;
  stop(): Promise<void>;
}

export async function joinScriptedWorker(options: {
  readonly master: TestMaster;
  readonly name: string;
  /** For the agents of this test. */
  readonly folder: string;
  readonly catalog: Catalog;
  readonly labels?: Readonly<Record<string, string>>;
}): Promise<ScriptedWorker> {
  const { master, name, folder, catalog, labels = {} } = options;
  const line = await openCuttableLine(master.tlsPort ?? 0);
  const { secret } = await master.swarm.createJoinToken({ hostName: name, labels, masters: [line.address] });
  const facts = async () => factsOf(name, catalog.digest);
  const identity = await joinSwarm({ token: secret, facts: await facts(), onProgress: () => undefined });
  const engine = createScriptedEngine(catalog, identity.hostId);
  const env = {
    DECNET_AGENT_DIR: join(folder, name),
    DECNET_AGENT_PORT: "0",
    DECNET_CATALOGUE: testCatalog,
    DECNET_DRIFT_INTERVAL_MS: "100",
  };
  const config = parseAgentConfig(env, ownCatalog);
  const start = async (): Promise<Agent> =>
    startAgent({
      config,
      // As it is by now: an agent renews its certificate.
      identity: (await readIdentity(config.stateDir)) ?? identity,
      log: createLogger(name, "error"),
      version: "test",
      openHostEngine: async () => engine.engine,
      shared: { catalog, facts },
    });
  let agent = await start();
  let wasCut = false;
  const state = async () =>
    master.swarm.getHost({ name }).then(
      ({ host }) => host?.state,
      () => HostState.DECOMMISSIONED,
    );
  const heal = async () => {
    line.heal();
    return eventually(async () => {
      const now = await state();
      return now === HostState.CONNECTED || now === HostState.DECOMMISSIONED
        ? { isConnected: now === HostState.CONNECTED }
        : undefined;
    }, 30_000).then(({ isConnected }) => isConnected);
  };
  await heal();
  const stop = async () => {
    await agent.stop();
    await line.close();
  };
  return {
    name,
    engine,
    port: () => agent.port,
    async cut() {
      wasCut = true;
      line.cut();
      await eventually(async () => (await state()) !== HostState.CONNECTED);
    },
    heal,
    async recover() {
      if (wasCut) {
        wasCut = false;
        await agent.stop();
        agent = await start();
      }
      return heal();
    },
    async untilReported() {
      // Beside its head, the queue holds what was not acknowledged.
      const queue = join(folder, name, "reports", "queue.jsonl");
      await eventually(async () => (await readFile(queue, "utf8")).trimEnd().split("\n").length === 1);
    },
    stop,
  };
}
