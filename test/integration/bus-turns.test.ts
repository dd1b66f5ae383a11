import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { busTopics } from "@decnet/contract/bus";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { createRelayStore, relayClaimMs } from "@decnet/master/store/relays";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareBus, readOutbox, untilSent } from "../support/compare-bus.ts";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";
import { testProgram } from "../support/programs.ts";
import { type Kafka, readTopics, useKafka } from "../support/use-kafka.ts";

const sink = "turns";
const patienceMs = 40_000;

interface Relay {
  readonly child: ChildProcess;
  /** How many events it has sent. */
  sent(): number;
  end(signal: NodeJS.Signals): Promise<void>;
}

describe("two masters that could send the events of one database", () => {
  let kafka: Kafka;
  let swarm: MemorySwarm;
  let database: Database;
  let relays: [Relay, Relay];
  const decky = { name: "web-01" };

  const startRelay = (): Relay => {
    const args = [...testProgram("lone-relay.ts"), swarm.master.config.dataDir, kafka.brokers, sink];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let sent = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      sent = Number(chunk.toString().trim().split("\n").at(-1));
    });
    const ended = once(child, "exit");
    return {
      child,
      sent: () => sent,
      async end(signal) {
        child.kill(signal);
        await ended;
      },
    };
  };
  const placeOf = ({ child }: Relay) => `process ${child.pid}`;
  const whoSends = async () => (await createRelayStore(database).status(sink))?.place;
  const change = async () => {
    await swarm.master.mutations.addService({ decky, service: "redis" });
    await swarm.master.mutations.removeService({ decky, service: "redis" });
  };
  const compare = async () => {
    const upTo = await untilSent(database, patienceMs, sink);
    return compareBus(await readOutbox(database), await readTopics(kafka.brokers, busTopics(sink)), upTo);
  };

  beforeAll(async () => {
    [kafka, swarm] = await Promise.all([useKafka(), useMemorySwarm()]);
    database = await openDatabase(await openPrivatePostgres(swarm.master.config.dataDir));
    const { fleet, lan } = swarm.master;
    await fleet.applyFleet({ fleet: { lan, deckies: [{ ...decky, services: [{ slug: "http" }] }] } });
    relays = [startRelay(), startRelay()];
  });
  afterAll(async () => {
    await Promise.all((relays ?? []).map((relay) => relay.end("SIGKILL")));
    await database?.close();
    await swarm?.master.dispose();
    await kafka?.dispose();
  });

  it("take turns: one sends everything, once, and the other nothing", async () => {
    // A topic that was made just now may refuse a part of the first batch.
    const { repeated } = await compare();
    await change();
    expect(await compare()).toEqual({ problems: [], repeated });
    const [idle = 0, busy = 0] = relays.map((relay) => relay.sent()).sort((one, other) => one - other);
    expect(idle).toBe(0);
    expect(busy).toBeGreaterThan(0);
  });

  it("follow each other when the one that sends is killed: nothing is lost, and order stays", async () => {
    const place = await whoSends();
    const [sender, other] = placeOf(relays[0]) === place ? relays : [relays[1], relays[0]];
    expect(placeOf(sender)).toBe(place);
    const killedAt = performance.now();
    await Promise.all([sender.end("SIGKILL"), change()]);
    const { problems } = await compare();
    expect(problems).toEqual([]);
    // A claim is renewed every three seconds.
    expect(performance.now() - killedAt).toBeGreaterThan(relayClaimMs - 4_000);
    expect(other.sent()).toBeGreaterThan(0);
    expect(await whoSends()).toBe(placeOf(other));
  });
});
