import { chmod, cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAgentConfig } from "@decnet/agent/config";
import { readIdentity, writeIdentity } from "@decnet/agent/identity";
import { joinSwarm } from "@decnet/agent/join";
import { type Agent, startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { Catalog } from "@decnet/engine/catalog/types";
import { type Database, openDatabase } from "@decnet/master/store/database";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { factsOf } from "./agent-facts.ts";
import { ownCatalog, testCatalog } from "./catalogs.ts";
import { type DatabaseLine, openDatabaseLine } from "./database-line.ts";
import { eventually } from "./eventually.ts";
import { type KillableMaster, startKillableMaster } from "./killable-master.ts";
import { createMemoryEngine, type EngineHooks, type MemoryEngine } from "./memory-engine.ts";
import { openReadyPostgres } from "./ready-database.ts";

export interface MemoryWorker {
  readonly name: string;
  readonly engine: MemoryEngine;
  readonly agent: Agent;
  /** Where it believes masters to be, as it keeps it. */
  masters(): Promise<readonly string[]>;
  /** Stops its agent and starts another one. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Masters in processes of their own on one database server, and workers that make no container. */
export interface SeveralMasters {
  readonly folder: string;
  readonly catalog: Catalog;
  readonly server: PrivatePostgres;
  /** What the masters' statements go over, one for each. */
  readonly lines: readonly DatabaseLine[];
  readonly masters: readonly KillableMaster[];
  /** Starts one more master, in the place of an earlier one with this number or in a new one. */
  start(number: number, env?: Readonly<Record<string, string>>): Promise<KillableMaster>;
  join(master: KillableMaster, name: string, hooks?: EngineHooks): Promise<MemoryWorker>;
  query<Row>(text: string, parameters?: unknown[]): Promise<Row[]>;
  /** The position of the newest event. */
  lastEvent(): Promise<string>;
  dispose(): Promise<void>;
}

const lan = { name: "lan", subnet: "10.77.0.0/24" };

/** The data folder of a master, with the keys of the first one. */
export async function copyKeys(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o711 });
  await cp(join(from, "secret.key"), join(to, "secret.key"));
  await cp(join(from, "pki"), join(to, "pki"), { recursive: true });
}

export async function useSeveralMasters(count: number, env: Readonly<Record<string, string>> = {}): Promise<SeveralMasters> {
  const catalog = await loadCatalog([ownCatalog, testCatalog]);
  const folder = await mkdtemp(join(tmpdir(), "decnet-masters-"));
  await chmod(folder, 0o711);
  const server = await openReadyPostgres(folder);
  const masters: KillableMaster[] = [];
  const lines: DatabaseLine[] = [];
  const workers: MemoryWorker[] = [];
  let database: Database | undefined;
  const dirOf = (number: number) => join(folder, `m${number}`);
  const several: SeveralMasters = {
    folder,
    catalog,
    server,
    lines,
    masters,
    async start(number, more = {}) {
      if (number > 1 && masters[number - 1] === undefined) await copyKeys(dirOf(1), dirOf(number));
      lines[number - 1] ??= await openDatabaseLine(server);
      const master = await startKillableMaster(dirOf(number), {
        DECNET_DATABASE_URL: lines[number - 1]?.url ?? "",
        DECNET_HOST_NAME: `m${number}`,
        DECNET_TLS_HOST: "127.0.0.1",
        DECNET_TLS_PORT: "0",
        DECNET_CATALOGUE: testCatalog,
        DECNET_DRIFT_INTERVAL_MS: "3600000",
        ...env,
        ...more,
      });
      masters[number - 1] = master;
      return master;
    },
    async join(master, name, hooks = {}) {
      const worker = await joinMemoryWorker({ master, name, stateDir: join(folder, "agents", name), catalog, hooks });
      workers.push(worker);
      return worker;
    },
    async query<Row>(text: string, parameters: unknown[] = []) {
      database ??= await openDatabase(server);
      return database.read((tx) => managerOf(tx).query(text, parameters)) as Promise<Row[]>;
    },
    async lastEvent() {
      const [row] = await several.query<{ last: string }>("SELECT max(position)::text AS last FROM outbox");
      return row?.last ?? "0";
    },
    async dispose() {
      await Promise.allSettled(workers.map((worker) => worker.stop()));
      for (const master of masters) master.resume();
      await Promise.allSettled(masters.map((master) => master.stop()));
      await database?.close();
      for (const line of lines) await line.dispose();
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    for (let number = 1; number <= count; number += 1) await several.start(number);
    if (count > 1) await eventually(async () => (await several.query("SELECT 1 FROM masters")).length === count);
  } catch (error) {
    await several.dispose();
    throw error;
  }
  return several;
}

async function joinMemoryWorker(options: {
  readonly master: KillableMaster;
  readonly name: string;
  readonly stateDir: string;
  readonly catalog: Catalog;
  readonly hooks: EngineHooks;
}): Promise<MemoryWorker> {
  const { master, name, stateDir, catalog, hooks } = options;
  const { secret } = await master.clients.swarm.createJoinToken({ hostName: name });
  const facts = async () => factsOf(name, catalog.digest);
  const identity = await joinSwarm({ token: secret, facts: await facts(), onProgress: () => undefined });
  await writeIdentity(stateDir, identity);
  const engine = createMemoryEngine({ catalog, instance: identity.hostId, hooks });
  const env = {
    DECNET_AGENT_DIR: stateDir,
    DECNET_AGENT_PORT: "0",
    DECNET_CATALOGUE: testCatalog,
    DECNET_DRIFT_INTERVAL_MS: "1000",
  };
  const start = async (): Promise<Agent> =>
    startAgent({
      config: parseAgentConfig(env, ownCatalog),
      identity: (await readIdentity(stateDir)) ?? identity,
      log: createLogger(name, "error"),
      version: "test",
      openHostEngine: async () => engine,
      shared: { catalog, facts },
    });
  let agent = await start();
  await eventually(() => isConnected(master, name));
  return {
    name,
    engine,
    get agent() {
      return agent;
    },
    masters: async () => (await readIdentity(stateDir))?.masters ?? [],
    async restart() {
      await agent.stop();
      agent = await start();
    },
    stop: () => agent.stop(),
  };
}

/** Whether a master says that a worker is connected, to whichever master. */
export async function isConnected(master: KillableMaster, name: string): Promise<boolean> {
  const { host } = await master.clients.swarm.getHost({ name });
  return host?.state === HostState.CONNECTED;
}

/**
 * Reads events at a master, from after the last one that was seen: so many, or up to the one that is named once it is known; and
 * goes away.
 */
export async function followEvents(
  master: KillableMaster,
  seen: string[],
  until: number | (() => Promise<string>),
): Promise<void> {
  const ending = new AbortController();
  const enough = typeof until === "number" ? seen.length + until : Number.POSITIVE_INFINITY;
  const last = typeof until === "number" ? undefined : until();
  void last?.then((position) => seen.at(-1) === position && ending.abort());
  let lastKnown: string | undefined;
  void last?.then((position) => {
    lastKnown = position;
  });
  try {
    const reading = master.clients.events.subscribe({ cursor: seen.at(-1) ?? "0" }, { signal: ending.signal, timeoutMs: 20_000 });
    for await (const { item } of reading) {
      if (item.case !== "event") continue;
      seen.push(item.value.cursor);
      if (seen.length >= enough || item.value.cursor === lastKnown) return;
    }
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  }
}

/** A fleet of deckies, each placed on a host. */
export function fleetOn(places: Readonly<Record<string, string>>, services: readonly string[] = ["http"]) {
  return {
    fleet: {
      lan,
      deckies: Object.entries(places).map(([name, host]) => ({
        name,
        services: services.map((slug) => ({ slug })),
        placement: { where: { case: "host" as const, value: host } },
      })),
    },
  };
}
