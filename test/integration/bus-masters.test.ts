import { busTopics } from "@decnet/contract/bus";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createBusChanges } from "../support/bus-changes.ts";
import { compareBus, readOutbox, untilSent } from "../support/compare-bus.ts";
import { eventually } from "../support/eventually.ts";
import { fleetOn, type SeveralMasters, useSeveralMasters } from "../support/several-masters.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

const patienceMs = 40_000;
const changes = 160;

/** Whole masters, unlike the relays of bus-turns.test.ts; who sends is killed while changes are made at the other. */
describe("two masters that send the events of their database to one broker", () => {
  let kafka: Kafka;
  let several: SeveralMasters;
  let database: Database;

  beforeAll(async () => {
    kafka = await useKafka();
    // A master finds a broker that answers wherever in its list it stands.
    several = await useSeveralMasters(2, { DECNET_KAFKA_BROKERS: `127.0.0.1:1,127.0.0.1:2,${kafka.brokers}` });
    database = await openDatabase(several.server);
  });
  afterAll(async () => {
    await database?.close();
    await several?.dispose();
    await kafka?.dispose();
  });

  /** The number of the master that has the place of the sender, and is heard of. */
  const sender = () =>
    eventually(async () => {
      const [row] = await several.query<{ number: string }>(
        `SELECT substr(masters.host, 2) AS number FROM relays JOIN masters ON starts_with(masters.place, relays.place || ' ')
         WHERE relays.sink = 'kafka' AND relays.seen_at > now() - interval '10 s'`,
      );
      return row !== undefined && Number(row.number);
    }, patienceMs);
  const masterOf = (number: number) => several.masters[number - 1] ?? expect.fail(`there is no master ${number}`);
  const compare = async () => {
    const upTo = await untilSent(database, patienceMs);
    return compareBus(await readOutbox(database), await readTopics(kafka.brokers, busTopics()), upTo);
  };
  const isKilled = new Set<number>();

  it("follow each other when the one that sends is killed: no gap, and the order of each key stays", async () => {
    const sending = await sender();
    const other = masterOf(3 - sending);
    const load = createBusChanges(() => other, changes);
    await load.deploy();
    const before = await compare();
    expect(before.problems).toEqual([]);
    const accident = async () => {
      await load.after(0.5);
      await masterOf(sending).kill();
      isKilled.add(sending);
    };
    await Promise.all([accident(), load.make()]);
    expect(load.refusals).toEqual([]);
    expect(load.acknowledged).toBe(changes);
    expect((await compare()).problems).toEqual([]);
    expect(await sender()).toBe(3 - sending);
  });

  it("hand over without a repetition when the one that sends is told to stop", async () => {
    const [killed = 0] = isKilled;
    const next = await several.start(killed);
    const { repeated } = await compare();
    const load = createBusChanges(() => next, 80);
    // The host of the one that stops takes no changes then.
    const places = Array.from({ length: 8 }, (_, at) => [`bus-${at + 1}`, `m${killed}`]);
    await next.clients.fleet.applyFleet(fleetOn(Object.fromEntries(places)));
    const stopping = async () => {
      await load.after(0.5);
      await masterOf(3 - killed).stop();
    };
    await Promise.all([stopping(), load.make()]);
    expect(load.refusals).toEqual([]);
    expect(await compare()).toEqual({ problems: [], repeated });
    expect(await sender()).toBe(killed);
  });
});
