import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { busTopics } from "@decnet/contract/bus";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Comparison, compareBus, readOutbox, type Told, untilSent } from "../support/compare-bus.ts";
import { eventually } from "../support/eventually.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { type LosingProxy, openLosingProxy } from "../support/losing-proxy.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

/** `npm run soak:bus` has more of each. */
const changes = Number(process.env["DECNET_BUS_CHANGES"] ?? "400");
const masterKills = Number(process.env["DECNET_BUS_KILLS"] ?? "2");
const downMs = Number(process.env["DECNET_BUS_DOWN_MS"] ?? "1000");
const callers = 8;
const patienceMs = 120_000;
const passing = new Set(["STORAGE_UNAVAILABLE", "SHUTTING_DOWN", "WAIT_ENDED", "HOST_UNREACHABLE"]);

describe(`${changes} changes, a broker that stops and is killed, a sender that is killed ${masterKills} times`, () => {
  let folder: string;
  let proxy: LosingProxy;
  let kafka: Kafka;
  let master: KillableMaster;
  let database: Database;
  let told: Told[];
  let comparison: Comparison;
  let acknowledged = 0;
  const refusals: string[] = [];

  const nameOf = (at: number) => `bus-${at + 1}`;

  /** Asks again with the same id until there is an answer. */
  const ask = async (name: string, isThere: boolean): Promise<void> => {
    const request = { decky: { name }, service: "redis", options: { requestId: randomUUID() } };
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await delay(50)) {
      const { mutations } = master.clients;
      try {
        await (isThere ? mutations.removeService(request) : mutations.addService(request));
        acknowledged += 1;
        return;
      } catch (error) {
        const { reason, message } = fromConnectError(error);
        if (passing.has(reason) || isCutOff(error)) continue;
        refusals.push(`${name}: ${reason} ${message}`);
        return;
      }
    }
    refusals.push(`${name}: no answer`);
  };

  const call = async (at: number): Promise<void> => {
    for (let turn = 0; turn < changes / callers; turn += 1) await ask(nameOf(at), turn % 2 === 1);
  };

  /** Resolves when this share of the changes was made. */
  const after = (share: number) => eventually(async () => acknowledged >= share * changes || refusals.length > 0, 1_800_000);

  const accidents = async (): Promise<void> => {
    const [broker] = kafka.nodes;
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
    const plan = [...kills, { at: 0.2, act: stop }, { at: 0.5, act: strike }].sort((one, other) => one.at - other.at);
    for (const { at, act } of plan) {
      await after(at);
      await act();
    }
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    proxy = await openLosingProxy(() => kafka.nodes[0]?.port ?? 0);
    kafka = await useKafka({ advertised: proxy.port });
    master = await startKillableMaster(folder, {
      DECNET_KAFKA_BROKERS: kafka.brokers,
      DECNET_DRIFT_INTERVAL_MS: "3600000",
      DECNET_PARALLEL: "16",
    });
    const deckies = Array.from({ length: callers }, (_, at) => ({ name: nameOf(at), services: [{ slug: "http" }] }));
    await master.clients.fleet.applyFleet({ fleet: { lan: { name: "lan", subnet: "10.77.0.0/24" }, deckies } });
    proxy.lose(0.1);
    await Promise.all([accidents(), ...Array.from({ length: callers }, (_, at) => call(at))]);
    proxy.lose(0);
    database = await openDatabase(await openPrivatePostgres(folder));
    const upTo = await untilSent(database, patienceMs);
    const messages = await readTopics(kafka.brokers, busTopics());
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
    expect(refusals).toEqual([]);
    expect(acknowledged).toBe(Math.ceil(changes / callers) * callers);
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
    expect(row?.count).toBe(acknowledged);
    expect(told.filter(({ topic }) => /[.]service_(added|removed)$/.test(topic))).toHaveLength(acknowledged);
  });
});

/** The connection went away under a call: it is not known what became of it. */
function isCutOff(error: unknown): boolean {
  return /ECONNRE|socket hang up|stream closed|Premature close|session|http\/2|aborted|read ETIMEDOUT/i.test(String(error));
}
