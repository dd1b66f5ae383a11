import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createLogger } from "@decnet/common/logging/logger";
import { type BusMessage, type Envelope, toMessage } from "@decnet/master/bus/cloud-event";
import { connectKafka, openSender } from "@decnet/master/bus/kafka";
import { createRelay } from "@decnet/master/bus/relay";
import type { BusConfig } from "@decnet/master/bus/settings";
import type { Database } from "@decnet/master/store/database";
import { createRelayStore, type OutboxMessage } from "@decnet/master/store/relays";
import { managerOf } from "@decnet/master/store/transaction";

const log = createLogger("bench", "error");
/** As the relay's own. */
const atOnce = 1_000;
const everything = 1 << 30;
export const envelope: Envelope = { source: "urn:uuid:bench", format: "binary", prefix: "decnet" };

/** Repeats the newest events until there are so many, those of all deckies mixed. */
export async function fillOutbox(database: Database, count: number): Promise<void> {
  const fill = `WITH newest AS (SELECT * FROM outbox ORDER BY position DESC LIMIT 100)
    INSERT INTO outbox (event_id, topic, key, version, payload, occurred_at)
    SELECT gen_random_uuid(), topic, key, version, payload, occurred_at
    FROM generate_series(1, 20) AS round (number) CROSS JOIN newest ORDER BY round.number, newest.position LIMIT $1`;
  const size = "SELECT count(*)::int AS count FROM outbox";
  for (;;) {
    const [row]: { count: number }[] = await database.read((tx) => managerOf(tx).query(size));
    const missing = count - (row?.count ?? count);
    if (missing <= 0) return;
    await database.transaction((tx) => managerOf(tx).query(fill, [missing]));
  }
}

export function readAll(database: Database): Promise<OutboxMessage[]> {
  return createRelayStore(database).read("0", everything, everything);
}

/** Sends everything that the outbox has, from its beginning, as a master does; milliseconds from the connection to the last. */
export async function timeRelay(database: Database, config: BusConfig, turn: number, count: number): Promise<number> {
  const stop = new AbortController();
  let begun = 0;
  let sent = 0;
  let endedAt = 0;
  const relay = createRelay({
    store: createRelayStore(database),
    claim: { sink: `bench-${turn}`, holder: "bench", instance: `bench-${turn}`, place: "bench" },
    envelope,
    log,
    open: async () => {
      const sender = await openSender(config, log);
      begun = performance.now();
      return sender;
    },
    onSent(more) {
      sent += more;
      if (sent < count) return;
      endedAt = performance.now();
      stop.abort();
    },
    onTrouble: ({ cause }) => process.stderr.write(`the relay is in trouble: ${cause}\n`),
  });
  await relay.run(stop.signal);
  return endedAt - begun;
}

/** The same messages in batches of the same size by the client library alone, which has all of them in memory already. */
export async function timeProducer(config: BusConfig, events: readonly OutboxMessage[]): Promise<number> {
  const producer = (await connectKafka(config, log)).producer({ allowAutoTopicCreation: false });
  const batches = [];
  for (let at = 0; at < events.length; at += atOnce) {
    const byTopic = new Map<string, BusMessage[]>();
    for (const event of events.slice(at, at + atOnce)) {
      const message = toMessage(event, envelope);
      byTopic.set(message.topic, [...(byTopic.get(message.topic) ?? []), message]);
    }
    batches.push([...byTopic].map(([topic, messages]) => ({ topic, messages })));
  }
  await producer.connect();
  const begun = performance.now();
  for (const topicMessages of batches) await producer.sendBatch({ acks: -1, topicMessages });
  const tookMs = performance.now() - begun;
  await producer.disconnect();
  return tookMs;
}

/** kcat at the end of a topic, as a consumer that waits for what comes. */
export interface Consumer {
  /** Of each event so far: milliseconds from when it was stored, before its commit, until it was read. */
  readonly delays: readonly number[];
  close(): Promise<void>;
}

export async function openConsumer(brokers: string, topic: string, partitions: number): Promise<Consumer> {
  const args = ["-b", brokers, "-C", "-t", topic, "-o", "end", "-u", "-f", "%h\\n"];
  const child: ChildProcess = spawn("kcat", args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  const delays: number[] = [];
  const atEnd = new Set<string>();
  const lines = (from: ChildProcess["stdout"], take: (line: string) => void) => {
    if (from !== null) createInterface({ input: from }).on("line", take);
  };
  lines(child.stdout, (line) => {
    const [, time = ""] = /ce_time=([^,]+)/.exec(line) ?? [];
    delays.push(Date.now() - Date.parse(time));
  });
  const ready = new Promise<void>((resolve, reject) => {
    lines(child.stderr, (line) => {
      const [, partition] = /Reached end of topic \S+ \[(\d+)\]/.exec(line) ?? [];
      if (partition !== undefined && atEnd.add(partition).size === partitions) resolve();
    });
    child.once("exit", () => reject(new Error("kcat ended")));
  });
  await ready;
  return {
    delays,
    async close() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
