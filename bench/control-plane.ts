import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { AccessService } from "@decnet/common/gen/decnet/v1/access_pb";
import { FleetService } from "@decnet/common/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/common/gen/decnet/v1/mutation_pb";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { parseMasterConfig } from "@decnet/master/config";
import { openDatabase } from "@decnet/master/persistence/database";
import { openPrivatePostgres } from "@decnet/master/persistence/private-postgres";
import { startMaster } from "@decnet/master/start-master";
import { createCountingEngine } from "./support/counting-engine.ts";
import { createTable, median, percentile } from "./support/figures.ts";

/**
 * What the control plane alone costs: mutations through a real gRPC connection and a real PostgreSQL, with an engine that only counts, at different
 * numbers of deckies, one caller and sixteen. Beside it, in turns, the floor: one unary call plus one commit.
 * Usage: npm run bench:control-plane -- [DECKIES...]
 */
const sizes = process.argv
  .slice(2)
  .map(Number)
  .filter((size) => size > 0);
const callers = 16;
/** Rounds in which one caller, sixteen callers and both parts of the floor take turns. */
const rounds = 10;
const perRound = 60;
const slug = "redis";
/** A fleet takes at most so many deckies in one entry. */
const perEntry = 1_000;
/** Neighbouring calls go to deckies that are far apart. */
const stride = 37;
const patient = { timeoutMs: 3_600_000 };

const row = createTable([
  "deckies",
  "callers",
  "mutations/s",
  "cpu ms",
  "p50 ms",
  "p99 ms",
  "floor ms",
  "p50/floor",
  "p50/first",
]);
const first = new Map<number, number>();
for (const size of sizes.length > 0 ? sizes : [10, 10_000]) {
  const { one, many, floorMs } = await measure(size);
  for (const [count, { times, perSecond, cpuMs }] of [
    [1, one],
    [callers, many],
  ] as const) {
    const p50 = median(times);
    if (!first.has(count)) first.set(count, p50);
    row([
      String(size),
      String(count),
      perSecond.toFixed(0),
      cpuMs.toFixed(2),
      p50.toFixed(2),
      percentile(times, 0.99).toFixed(2),
      floorMs.toFixed(2),
      (p50 / floorMs).toFixed(2),
      (p50 / (first.get(count) ?? p50)).toFixed(2),
    ]);
  }
}

interface Load {
  readonly times: number[];
  readonly perSecond: number;
  /** Processor time of this process, callers included, for one mutation. */
  readonly cpuMs: number;
}

interface Taken {
  readonly times: readonly number[];
  readonly tookMs: number;
  readonly cpuMs: number;
}

async function measure(size: number): Promise<{ one: Load; many: Load; floorMs: number }> {
  const dataDir = await mkdtemp(join(tmpdir(), "decnet-bench-"));
  await chmod(dataDir, 0o711);
  const config = parseMasterConfig(
    { DECNET_DATA_DIR: dataDir, DECNET_PORT: "0", DECNET_PARALLEL: String(callers) },
    fileURLToPath(new URL("../catalog", import.meta.url)),
  );
  const address = await openPrivatePostgres(dataDir);
  const master = await startMaster({
    config,
    log: createLogger("bench", "error"),
    version: "bench",
    openHostEngine: async ({ catalogue }) => createCountingEngine(catalogue),
  });
  const database = await openDatabase(address);
  const token = (await readFile(config.adminTokenFile, "utf8")).trim();
  const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
  const mutations = createClient(MutationService, transport);
  const access = createClient(AccessService, transport);
  const names: string[] = [];
  /** Puts a service on a decky, or takes it off again, in turns. */
  const present = new Set<string>();
  const mutate = async (name: string) => {
    const change = { decky: { name }, service: slug };
    await (present.has(name) ? mutations.removeService(change) : mutations.addService(change));
    if (!present.delete(name)) present.add(name);
  };
  let turn = 0;
  /** Each caller has every n-th decky for itself, and goes through them from call to call. */
  const load = async (count: number, calls: number): Promise<Taken> => {
    const times: number[] = [];
    const cpu = process.cpuUsage();
    const from = performance.now();
    const caller = async (at: number) => {
      const mine = names.filter((_, index) => index % count === at);
      for (let call = 0; mine.length > 0 && call < calls / count; call += 1)
        times.push(await timed(() => mutate(mine[(turn * stride + call * stride) % mine.length] ?? "")));
    };
    await Promise.all(Array.from({ length: count }, (_, at) => caller(at)));
    turn += Math.ceil(calls / count);
    const { user, system } = process.cpuUsage(cpu);
    return { times, tookMs: performance.now() - from, cpuMs: (user + system) / 1_000 };
  };
  try {
    const fleet = createClient(FleetService, transport);
    const deckies = Array.from({ length: Math.ceil(size / perEntry) }, (_, at) => ({
      name: `bench${at}`,
      count: Math.min(perEntry, size - at * perEntry),
      services: [{ slug: "http" }],
    }));
    const deployMs = await timed(() =>
      fleet.applyFleet({ fleet: { lan: { name: "decnet_bench", subnet: "10.64.0.0/16" }, deckies } }, patient),
    );
    for (let pageToken: string | undefined; pageToken !== ""; ) {
      const page = await fleet.listDeckies({ pageSize: perEntry, pageToken: pageToken ?? "" }, patient);
      names.push(...page.deckies.flatMap((decky) => decky.ref?.name ?? []));
      pageToken = page.nextPageToken;
    }
    process.stderr.write(`${names.length} deckies known after ${(deployMs / 1_000).toFixed(1)} s\n`);
    await database.read((tx) => tx.query("CREATE TABLE bench_commits (id bigserial PRIMARY KEY, note text NOT NULL)"));
    await load(1, perRound);
    await load(callers, perRound);
    const one: Taken[] = [];
    const many: Taken[] = [];
    const calls: number[] = [];
    const commits: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      one.push(await load(1, perRound));
      many.push(await load(callers, perRound));
      for (let call = 0; call < perRound; call += 1) {
        calls.push(await timed(() => access.whoAmI({})));
        commits.push(
          await timed(() => database.read((tx) => tx.query("INSERT INTO bench_commits (note) VALUES ($1)", ["one commit"]))),
        );
      }
    }
    return { one: sumUp(one), many: sumUp(many), floorMs: median(calls) + median(commits) };
  } finally {
    close();
    await database.close();
    await master.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function sumUp(taken: readonly Taken[]): Load {
  const times = taken.flatMap((each) => each.times);
  const sum = (of: (each: Taken) => number) => taken.reduce((total, each) => total + of(each), 0);
  return {
    times,
    perSecond: (times.length * 1_000) / sum((each) => each.tookMs),
    cpuMs: sum((each) => each.cpuMs) / times.length,
  };
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await act();
  return performance.now() - from;
}
