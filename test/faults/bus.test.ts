import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { busTopics } from "@decnet/contract/bus";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BusChanges, createBusChanges } from "../support/bus-changes.ts";
import { type Comparison, compareBus, readOutbox, type Told, untilSent } from "../support/compare-bus.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { type LosingProxy, openLosingProxy } from "../support/losing-proxy.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

/** `npm run soak:bus` has more of each, and a broker that is stopped in good order. */
const changes = Number(process.env["DECNET_BUS_CHANGES"] ?? "400");
const masterKills = Number(process.env["DECNET_BUS_KILLS"] ?? "1");
const downMs = Number(process.env["DECNET_BUS_DOWN_MS"] ?? "0");
const patienceMs = 120_000;

describe(`${changes} changes, a broker that is killed, a sender that is killed, ${masterKills} times`, () => {
  let folder: string;
  let proxy: LosingProxy;
  let kafka: Kafka | undefined;
  let master: KillableMaster;
  let database: Database;
  let told: Told[];
  let comparison: Comparison;
  let load: BusChanges;

  const accidents = async (): Promise<void> => {
    const [broker] = kafka?.nodes ?? [];
    const kills = Array.from({ length: masterKills }, (_, at) => ({ at: (at + 1) / (masterKills + 1), act: master.killMaster }));
    const stop = async () => {
      await broker?.stop("SIGTERM");
      await delay(downMs);
      await broker?.start();
    };
    const strike = async () => {
      await broker?.stop("SIGKILL");
      await broker?.start();
    };
    const stops = downMs > 0 ? [{ at: 0.2, act: stop }] : [];
    const plan = [...kills, ...stops, { at: 0.7, act: strike }].sort((one, other) => one.at - other.at);
    for (const { at, act } of plan) {
      await load.after(at);
      await act();
    }
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    proxy = await openLosingProxy(() => kafka?.nodes[0]?.port ?? 0);
    const brokers = `127.0.0.1:${proxy.port}`;
    const env = { DECNET_KAFKA_BROKERS: brokers, DECNET_DRIFT_INTERVAL_MS: "3600000", DECNET_PARALLEL: "16" };
    [kafka, master] = await Promise.all([useKafka({ advertised: proxy.port }), startKillableMaster(folder, env)]);
    load = createBusChanges(() => master, changes);
    await load.deploy();
    proxy.lose(0.1);
    await Promise.all([accidents(), load.make()]);
    proxy.lose(0);
    database = await openDatabase(await openPrivatePostgres(folder));
    const upTo = await untilSent(database, patienceMs);
    const messages = await readTopics(brokers, busTopics());
    told = await readOutbox(database);
    comparison = compareBus(told, messages, upTo);
  }, 3_600_000);
  afterAll(async () => {
    await database?.close();
    await master?.stop();
    await kafka?.dispose();
    await proxy?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("refuses no change", () => {
    expect(load.refusals).toEqual([]);
    expect(load.acknowledged).toBe(changes);
  });

  it("loses answers on the way, so that something comes twice", () => {
    expect(proxy.lost).toBeGreaterThan(0);
    expect(comparison.repeated).toBeGreaterThan(0);
  });

  it("shows every event to somebody else's program, those of a decky in order, repeated ones with equal ids", () => {
    expect(comparison.problems).toEqual([]);
  });

  it("has as many as there are operations in the database", async () => {
    const text =
      "SELECT count(*)::int AS count FROM operations WHERE kind IN ('add_service', 'remove_service') AND state = 'succeeded'";
    const [row]: { count: number }[] = await database.read((tx) => managerOf(tx).query(text));
    expect(row?.count).toBe(load.acknowledged);
    expect(told.filter(({ topic }) => /[.]service_(added|removed)$/.test(topic))).toHaveLength(load.acknowledged);
  });
});
