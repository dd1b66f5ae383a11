import { busTopics } from "@decnet/contract/bus";
import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { createRelayStore } from "@decnet/master/store/relays";
import { createRetention } from "@decnet/master/store/retention";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { untilSent } from "../support/compare-bus.ts";
import { eventually } from "../support/eventually.ts";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

describe("events on a real broker, read by somebody else's program", () => {
  let kafka: Kafka;
  let swarm: MemorySwarm;
  const decky = { name: "web-01" };

  beforeAll(async () => {
    kafka = await useKafka();
    swarm = await useMemorySwarm({ DECNET_KAFKA_BROKERS: kafka.brokers });
    const { fleet } = swarm.master;
    await fleet.applyFleet({ fleet: { lan: swarm.master.lan, deckies: [{ ...decky, services: [{ slug: "http" }] }] } });
  });
  afterAll(async () => {
    await swarm?.master.dispose();
    await kafka?.dispose();
  });

  const read = () => readTopics(kafka.brokers, busTopics());
  const seenOf = async (operation: string) =>
    (await read()).filter(({ value }) => (JSON.parse(value) as { operation?: string }).operation === operation);

  it("has the event of a mutation", async () => {
    const { operation } = await swarm.master.mutations.addService({ decky, service: "ssh", config: { password: "s3cret" } });
    const messages = await eventually(async () => {
      const found = await seenOf(operation?.id ?? "");
      return found.length === 2 && found;
    });
    const [added] = messages;
    expect(messages.map(({ headers }) => headers["ce_type"])).toEqual([
      "decnet.decky.service_added.v1",
      "decnet.decky.lifecycle.v1",
    ]);
    expect(added).toMatchObject({ topic: "decnet.decky", key: "web-01" });
    expect(added?.headers).toMatchObject({
      "content-type": "application/json",
      ce_specversion: "1.0",
      ce_source: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/),
      ce_subject: "decky.web-01",
      ce_topic: "decky.web-01.service_added",
      ce_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(JSON.stringify(messages)).not.toContain("s3cret");
  });

  it("has it when the broker was killed in between: late, and not lost", async () => {
    await kafka.nodes[0]?.stop("SIGKILL");
    const began = performance.now();
    const { operation } = await swarm.master.mutations.removeService({ decky, service: "ssh" });
    expect(performance.now() - began, "a mutation does not wait for the bus").toBeLessThan(5_000);
    await kafka.nodes[0]?.start();
    const types = await eventually(async () => {
      const found = await seenOf(operation?.id ?? "");
      return found.length >= 2 && found.map(({ headers }) => headers["ce_type"]);
    }, 60_000);
    expect([...new Set(types)]).toEqual(["decnet.decky.service_removed.v1", "decnet.decky.lifecycle.v1"]);
  });

  it("has word of events that were removed before it had them: how many, and up to which", async () => {
    const database = await openDatabase(await openPrivatePostgres(swarm.master.config.dataDir));
    try {
      await untilSent(database, 20_000);
      await kafka.nodes[0]?.stop("SIGKILL");
      await swarm.master.mutations.addService({ decky, service: "redis" });
      await swarm.master.mutations.removeService({ decky, service: "redis" });
      const waiting = (await createRelayStore(database).status("kafka"))?.waiting ?? 0;
      expect(waiting).toBeGreaterThan(2);
      const forEver = { ms: 36_500 * 86_400_000, rows: 1_000_000 };
      const removed = await createRetention(database).sweep(
        {
          ...{ audit: forEver, operations: forEver, refusedJoins: forEver, revisions: forEver, joinTokens: forEver },
          ...{ events: { ms: 1, rows: 1 }, unsentEvents: { ms: forEver.ms, rows: 2 } },
        },
        new AbortController().signal,
      );
      expect(removed.dropped).toBe(waiting - 2);
      await kafka.nodes[0]?.start();
      const said = await eventually(
        async () => (await read()).find(({ headers }) => headers["ce_type"] === "decnet.system.bus.dropped.v1"),
        60_000,
      );
      expect(said.topic).toBe("decnet.system");
      expect(JSON.parse(said.value)).toMatchObject({ count: removed.dropped, until_sequence: expect.stringMatching(/^\d+$/) });
      const bus = await swarm.master.events.getBus({});
      expect(Number(bus.dropped)).toBe(removed.dropped);
    } finally {
      await database.close();
    }
  });
});
