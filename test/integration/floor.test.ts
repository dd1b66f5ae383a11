import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { BatchChangeSchema } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Database, openDatabase } from "@decnet/master/store/database";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DatabaseLine, openDatabaseLine } from "../support/database-line.ts";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { openReadyPostgres } from "../support/ready-database.ts";

import { type TestMaster, useMaster } from "../support/use-master.ts";

/** What one piece of work cost the database. */
interface Cost {
  readonly roundTrips: readonly string[];
  /** Transactions that wrote: only those get an id. */
  readonly commits: number;
}

const hour = 3_600_000;
const samples = 9;
const size = 64;
const callers = 16;
/**
 * The master looks for silent hosts and for other masters all the time, says that it is there, and notes now and then what it saw
 * and which token is in use: that is nobody's mutation.
 */
const background =
  /^(decnet-(other-hosts|masters|claim-renewed)$|UPDATE "(hosts" SET "last_seen|tokens" SET "last_used_at)" = \$1 )/;

describe("what a mutation costs the database", () => {
  let folder: string;
  let server: PrivatePostgres;
  let line: DatabaseLine;
  let database: Database;
  let master: TestMaster;
  const names = Array.from({ length: size }, (_, at) => `floor${at + 1}`);
  const [alone = ""] = names;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    server = await openReadyPostgres(folder);
    line = await openDatabaseLine(server);
    database = await openDatabase(server);
    master = await useMaster({
      place: {
        dataDir: join(folder, "master"),
        prefix: "",
        lan: { name: "lan", subnet: "10.77.0.0/24" },
        dispose: async () => undefined,
      },
      env: {
        DECNET_DATABASE_URL: line.url,
        DECNET_DRIFT_INTERVAL_MS: String(hour),
        DECNET_PARALLEL: String(callers),
      },
      openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
    });
    const { lan } = master;
    await master.fleet.applyFleet({ fleet: { lan, deckies: names.map((name) => ({ name, services: [{ slug: "http" }] })) } });
    // Connections prepare their statements when they meet them first.
    await everywhere((name) => add(name));
    await everywhere((name) => remove(name));
  });
  afterAll(async () => {
    await master?.dispose();
    await line?.dispose();
    await database?.close();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const add = (name: string, service = "redis") => master.mutations.addService({ decky: { name }, service });
  /** A topology of so many deckies, deployed; its last one. */
  const deployTopology = async (topology: string, deckies: number) => {
    const settings = { seed: 7, lans: Math.min(deckies, 6), deckies, services: ["http"] };
    const { topology: made } = await master.topologies.generateTopology({ name: topology, settings });
    await master.topologies.deployTopology({ topology });
    return { name: made?.deckies.at(-1)?.name ?? "", topologyId: made?.id ?? "" };
  };
  const remove = (name: string, service = "redis") => master.mutations.removeService({ decky: { name }, service });
  const everywhere = (act: (name: string) => Promise<unknown>) => Promise.all(names.slice(0, callers).map(act));

  /** The id that the next transaction gets which writes. */
  const nextTransaction = async (): Promise<number> => {
    const rows: { next: string }[] = await database.read((tx) =>
      managerOf(tx).query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next"),
    );
    return Number(rows[0]?.next);
  };
  const costOf = async (act: () => Promise<unknown>): Promise<Cost> => {
    line.take();
    const before = await nextTransaction();
    await act();
    const commits = (await nextTransaction()) - before;
    return { roundTrips: line.take().filter((roundTrip) => !background.test(roundTrip)), commits };
  };
  /** What it usually costs: a machine that stands still in the middle may add a look-up to one of them. */
  const usualCost = async (act: (at: number) => Promise<unknown>, undo: () => Promise<unknown>): Promise<Cost> => {
    const costs: Cost[] = [];
    for (let at = 0; at < samples; at += 1) {
      costs.push(await costOf(() => act(at)));
      await undo();
    }
    costs.sort((left, right) => left.roundTrips.length - right.roundTrips.length || left.commits - right.commits);
    return costs[Math.floor(samples / 2)] ?? expect.fail("nothing was measured");
  };
  /** The caller's token, the decky as it is, the change, and its end. */
  const floor = { roundTrips: ["decnet-tokens", "decnet-situations", "decnet-commit", "decnet-commit"], commits: 2 };

  it("adds a service in four round trips and two commits", async () => {
    expect(
      await usualCost(
        () => add(alone),
        () => remove(alone),
      ),
    ).toEqual(floor);
  });

  it("removes a service in four round trips and two commits", async () => {
    await add(alone);
    expect(
      await usualCost(
        () => remove(alone),
        () => add(alone),
      ),
    ).toEqual(floor);
    await remove(alone);
  });

  it("changes settings and applies them in four round trips and two commits", async () => {
    await add(alone);
    const update = (megabytes: number) =>
      master.mutations.updateServiceConfig({
        decky: { name: alone },
        service: "redis",
        config: { maxmemory_mb: megabytes },
        apply: true,
      });
    expect(
      await usualCost(
        (at) => update(16 + at),
        async () => undefined,
      ),
    ).toEqual(floor);
    await remove(alone);
  });

  it.each([
    ["of one", 1],
    ["of sixty", 60],
  ])(
    "adds a service to a decky of a topology %s as to one of the fleet, once it is known how that stands",
    async (_, deckies) => {
      const decky = await deployTopology(`of${deckies}`, deckies);
      const { mutations } = master;
      const change = () => mutations.addService({ decky, service: "redis" });
      const back = () => mutations.removeService({ decky, service: "redis" });
      await change();
      await back();
      const [tokens = "", ...rest] = floor.roundTrips;
      expect(await usualCost(change, back)).toEqual({ ...floor, roundTrips: [tokens, "decnet-topology", ...rest] });
    },
  );

  it("costs a request id nothing", async () => {
    const withId = (at: number) =>
      master.mutations.addService({ decky: { name: alone }, service: "redis", options: { requestId: `floor-${at}` } });
    expect(await usualCost(withId, () => remove(alone))).toEqual(floor);
  });

  it("shares round trips and commits among callers that come at once", async () => {
    const turns = 4;
    const { roundTrips, commits } = await costOf(async () => {
      for (let turn = 0; turn < turns; turn += 1) {
        await everywhere((name) => add(name));
        await everywhere((name) => remove(name));
      }
    });
    const mutations = 2 * turns * callers;
    expect(roundTrips.length / mutations).toBeLessThan(2);
    expect(commits / mutations).toBeLessThan(1);
  });

  it("makes a batch of 64 changes with less than two round trips for each", async () => {
    const changes = names.map(
      (name): MessageInitShape<typeof BatchChangeSchema> => ({
        change: { case: "add", value: { decky: { name }, service: "redis" } },
      }),
    );
    const ended: string[] = [];
    const { roundTrips, commits } = await costOf(async () => {
      for await (const { item } of master.mutations.batchMutate({ changes }))
        if (item.case === "result" && item.value.operation?.state === OperationState.SUCCEEDED)
          ended.push(item.value.decky?.name ?? "");
    });
    expect(ended.sort()).toEqual([...names].sort());
    expect(roundTrips.length / changes.length).toBeLessThan(2);
    expect(commits / changes.length).toBeLessThan(1);
  });
});
