import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { createMemoryEngine } from "../../test/support/memory-engine.ts";

/** What some callers measured at once; milliseconds. */
export interface Taken {
  readonly times: readonly number[];
  readonly tookMs: number;
  /** Processor time of the process, callers included. */
  readonly cpuMs: number;
}

/** One turn: mutations by one caller and by many, and both parts of the floor. */
export interface Turn {
  readonly one: Taken;
  readonly many: Taken;
  readonly unary: readonly number[];
  readonly commits: readonly number[];
}

export interface KnownFleet {
  readonly deployMs: number;
  /** The master's own, by other connections. */
  readonly database: Database;
  /** Applies the same fleet again: nothing is to be done, and all of it is compared. */
  applySame(): Promise<number>;
  /** Takes so many mutations with one caller, as many with `callers`, and as many unary calls and commits. */
  takeTurn(calls: number, callers: number): Promise<Turn>;
  close(): Promise<void>;
}

const slug = "redis";
/** A fleet takes at most so many deckies in one entry. */
const perEntry = 1_000;
/** Neighbouring calls go to deckies that are far apart. */
const stride = 37;
const patient = { timeoutMs: 3_600_000 };

/** A master with a PostgreSQL of its own and an engine that only counts, which knows so many deckies. */
export async function openKnownFleet(size: number, more: Readonly<Record<string, string>> = {}): Promise<KnownFleet> {
  const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
  await chmod(dataDir, 0o711);
  const env = { DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", DECNET_PARALLEL: "16", ...more };
  const config = parseMasterConfig(env, fileURLToPath(new URL("../../catalog", import.meta.url)));
  const address = await openPrivatePostgres(dataDir);
  const master = await startMaster({
    config,
    log: createLogger("bench", "error"),
    version: "bench",
    openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
  });
  const database = await openDatabase(address);
  const token = (await readFile(config.adminTokenFile, "utf8")).trim();
  const client = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
  const fleet = createClient(FleetService, client.transport);
  const mutations = createClient(MutationService, client.transport);
  const access = createClient(AccessService, client.transport);

  await database.read((tx) => managerOf(tx).query("CREATE TABLE bench_commits (id bigserial PRIMARY KEY, note text NOT NULL)"));
  const deckies = Array.from({ length: Math.ceil(size / perEntry) }, (_, at) => ({
    name: `bench${at}`,
    count: Math.min(perEntry, size - at * perEntry),
    services: [{ slug: "http" }],
  }));
  const lan = { name: "decnet_bench", subnet: "10.64.0.0/16" };
  const deployMs = await timed(() => fleet.applyFleet({ fleet: { lan, deckies } }, patient));
  const names: string[] = [];
  for (let pageToken: string | undefined; pageToken !== ""; ) {
    const page = await fleet.listDeckies({ pageSize: perEntry, pageToken: pageToken ?? "" }, patient);
    names.push(...page.deckies.flatMap((decky) => decky.ref?.name ?? []));
    pageToken = page.nextPageToken;
  }

  /** Puts a service on a decky, or takes it off again, in turns. */
  const present = new Set<string>();
  const mutate = async (name: string) => {
    const change = { decky: { name }, service: slug };
    await (present.has(name) ? mutations.removeService(change) : mutations.addService(change));
    if (!present.delete(name)) present.add(name);
  };
  let next = 0;
  /** Each caller has every n-th decky for itself, and goes through them from call to call. */
  const load = async (callers: number, calls: number): Promise<Taken> => {
    const times: number[] = [];
    const cpu = process.cpuUsage();
    const from = performance.now();
    const caller = async (at: number) => {
      const mine = names.filter((_, index) => index % callers === at);
      for (let call = 0; call < calls / callers; call += 1)
        times.push(await timed(() => mutate(mine[((next + call) * stride) % mine.length] ?? "")));
    };
    await Promise.all(Array.from({ length: callers }, (_, at) => caller(at)));
    next += Math.ceil(calls / callers);
    const { user, system } = process.cpuUsage(cpu);
    return { times, tookMs: performance.now() - from, cpuMs: (user + system) / 1_000 };
  };

  return {
    deployMs,
    database,
    applySame: () => timed(() => fleet.applyFleet({ fleet: { lan, deckies } }, patient)),
    async takeTurn(calls, callers) {
      const one = await load(1, calls);
      const many = await load(callers, calls);
      const unary: number[] = [];
      const commits: number[] = [];
      const insert = "INSERT INTO bench_commits (note) VALUES ($1)";
      for (let call = 0; call < calls; call += 1) {
        unary.push(await timed(() => access.whoAmI({})));
        commits.push(await timed(() => database.read((tx) => managerOf(tx).query(insert, ["one commit"]))));
      }
      return { one, many, unary, commits };
    },
    async close() {
      client.close();
      await database.close();
      await master.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await act();
  return performance.now() - from;
}
