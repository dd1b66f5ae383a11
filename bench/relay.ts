import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseMasterConfig } from "@decnet/master/config";
import { untilSent } from "../test/support/compare-bus.ts";
import { type Kafka, useKafka } from "../test/support/use-kafka.ts";
import { fillOutbox, openConsumer, readAll, timeProducer, timeRelay } from "./support/bus-figures.ts";
import { createTable, median, percentile } from "./support/figures.ts";
import { openKnownFleet, type Taken } from "./support/known-fleet.ts";

/**
 * What Kafka costs and takes: events per second by the relay beside the client library alone with the same messages in memory,
 * how long an event needs from its storage to a consumer, and mutations while the broker is away beside those while it is there.
 * Both sides of a comparison take turns in one run.
 * Usage: npm run bench:relay -- [--events 20000] [--turns 5] [--calls 200] [throughput] [mutations]
 */
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    events: { type: "string", default: "20000" },
    turns: { type: "string", default: "5" },
    calls: { type: "string", default: "200" },
  },
});
const events = Number(options.events);
const turns = Number(options.turns);
const calls = Number(options.calls);
const deckies = 16;
const callers = 16;
const topic = "decnet.decky";
const patienceMs = 120_000;

const isWanted = (part: string) => positionals.length === 0 || positionals.includes(part);
const kafka = await useKafka();
try {
  if (isWanted("throughput")) await compareThroughput(kafka);
  if (isWanted("mutations")) await compareMutations(kafka);
} finally {
  await kafka.dispose();
}

async function compareThroughput({ brokers }: Kafka): Promise<void> {
  const { bus } = parseMasterConfig(
    { DECNET_KAFKA_BROKERS: brokers, DECNET_DATA_DIR: "/nowhere" },
    fileURLToPath(new URL("../catalog", import.meta.url)),
  );
  if (bus === undefined) throw new Error("no bus");
  // Its master has no bus: nobody else sends.
  const fleet = await openKnownFleet(deckies);
  try {
    await fleet.takeTurn(calls, callers);
    await fillOutbox(fleet.database, events);
    const all = await readAll(fleet.database);
    const bytes = all.reduce((sum, { data }) => sum + data.length, 0) / all.length;
    process.stdout.write(`${all.length} events of ${bytes.toFixed(0)} bytes\n`);
    const relay: number[] = [];
    const producer: number[] = [];
    // The first turn only warms up; then each begins in turns.
    for (let turn = 0; turn <= turns; turn += 1) {
      const byRelay = async () => relay.push(await timeRelay(fleet.database, bus, turn, all.length));
      const byProducer = async () => producer.push(await timeProducer(bus, all));
      for (const act of turn % 2 === 0 ? [byRelay, byProducer] : [byProducer, byRelay]) await act();
    }
    const perSecond = (times: readonly number[]) => (all.length * 1_000) / median(times.slice(1));
    const row = createTable(["sender            ", "events/s", "to the producer"]);
    const base = perSecond(producer);
    for (const [name, times] of [
      ["kafkajs alone", producer],
      ["relay", relay],
    ] as const)
      row([name, perSecond(times).toFixed(0), (perSecond(times) / base).toFixed(2)]);
  } finally {
    await fleet.close();
  }
}

async function compareMutations({ brokers, nodes }: Kafka): Promise<void> {
  const fleet = await openKnownFleet(deckies, { DECNET_KAFKA_BROKERS: brokers });
  const there: Record<"one" | "many", Taken[]> = { one: [], many: [] };
  const away: Record<"one" | "many", Taken[]> = { one: [], many: [] };
  const delays: number[] = [];
  try {
    await fleet.takeTurn(calls, callers);
    for (let turn = 0; turn < turns; turn += 1) {
      await untilSent(fleet.database, patienceMs);
      const consumer = await openConsumer(brokers, topic, 6);
      const up = await fleet.takeTurn(calls, 1);
      await untilSent(fleet.database, patienceMs);
      delays.push(...consumer.delays);
      await consumer.close();
      there.one.push(up.one, up.many);
      there.many.push((await fleet.takeTurn(calls, callers)).many);
      await nodes[0]?.stop("SIGKILL");
      const down = await fleet.takeTurn(calls, 1);
      away.one.push(down.one, down.many);
      away.many.push((await fleet.takeTurn(calls, callers)).many);
      await nodes[0]?.start();
    }
  } finally {
    await fleet.close();
  }
  const arrivals = createTable(["from storage to kcat", "events", "p50 ms", "p99 ms"]);
  const figures = [median(delays), percentile(delays, 0.99)].map((ms) => ms.toFixed(0));
  arrivals(["one caller", String(delays.length), ...figures]);
  process.stdout.write("\n");
  const row = createTable(["callers", "broker", "mutations/s", "p50 ms", "p99 ms", "to there"]);
  for (const kind of ["one", "many"] as const) {
    const base = perSecondOf(there[kind]);
    for (const [broker, taken] of [
      ["there", there[kind]],
      ["away", away[kind]],
    ] as const) {
      const times = taken.flatMap((each) => each.times);
      const waits = [median(times), percentile(times, 0.99)].map((ms) => ms.toFixed(2));
      const rate = perSecondOf(taken);
      row([kind === "one" ? "1" : String(callers), broker, rate.toFixed(0), ...waits, (rate / base).toFixed(2)]);
    }
  }
}

/** Of the turn in the middle: one in which the machine did something else does not count. */
function perSecondOf(taken: readonly Taken[]): number {
  return median(taken.map(({ times, tookMs }) => (times.length * 1_000) / tookMs));
}
