import type { Database } from "@decnet/master/store/database";
import { managerOf } from "@decnet/master/store/transaction";
import { eventually } from "./eventually.ts";
import type { Read } from "./use-kafka.ts";

export interface Told {
  readonly position: string;
  readonly id: string;
  readonly topic: string;
  readonly key: string;
  readonly data: unknown;
}

/** Everything that was told, in its order. */
export function readOutbox(database: Database): Promise<Told[]> {
  const text = `SELECT position::text, event_id AS id, topic, key, payload AS data FROM outbox ORDER BY outbox.position`;
  return database.read((tx) => managerOf(tx).query(text));
}

/** Waits until a master says that the bus has everything that was told before now; returns up to where that is. */
export async function untilSent(database: Database, timeoutMs: number, sink = "kafka"): Promise<string> {
  const text = `SELECT (SELECT max(position) FROM outbox)::text AS told,
    coalesce((SELECT position FROM relays WHERE sink = $1), 0)::text AS sent`;
  const look = async (): Promise<{ told: string; sent: string }> => {
    const [row]: { told: string; sent: string }[] = await database.read((tx) => managerOf(tx).query(text, [sink]));
    return row ?? { told: "0", sent: "0" };
  };
  const { told } = await look();
  await eventually(async () => BigInt((await look()).sent) >= BigInt(told), timeoutMs);
  return told;
}

export interface Comparison {
  /** What is wrong; empty when every event is there, in the order of its key, and nothing else. */
  readonly problems: readonly string[];
  /** Messages that came again. */
  readonly repeated: number;
}

/**
 * What was told against what somebody else's program read, in the order of each partition. Up to a position all of it has to be
 * there; what was told later may be.
 */
export function compareBus(told: readonly Told[], messages: readonly Read[], upTo: string): Comparison {
  const problems: string[] = [];
  const byId = new Map(told.map((event, at) => [event.id, { ...event, at }]));
  const seen = new Map<string, string>();
  const lastOf = new Map<string, { readonly at: number; readonly place: string }>();
  let repeated = 0;
  for (const { topic, partition, key, headers, value } of messages) {
    const id = headers["ce_id"] ?? "";
    const event = byId.get(id);
    if (event === undefined) {
      problems.push(`nobody told ${id} of ${headers["ce_topic"]}`);
      continue;
    }
    const before = seen.get(id);
    if (before !== undefined) {
      repeated += 1;
      if (before !== value) problems.push(`${id} came again as something else`);
      continue;
    }
    seen.set(id, value);
    if (JSON.stringify(event.data) !== JSON.stringify(JSON.parse(value))) problems.push(`${id} carries something else`);
    if (event.key !== key || event.topic !== headers["ce_topic"]) problems.push(`${id} is about ${key}, not ${event.key}`);
    const last = lastOf.get(key);
    const place = `${topic}/${partition}`;
    if (last !== undefined && last.place !== place) problems.push(`${key} is in ${place} and in ${last.place}`);
    if (last !== undefined && last.at > event.at) problems.push(`${id} of ${key} comes too late`);
    lastOf.set(key, { at: event.at, place });
  }
  for (const { id, topic, position } of told)
    if (BigInt(position) <= BigInt(upTo) && !seen.has(id)) problems.push(`${id} of ${topic} is not there`);
  return { problems, repeated };
}
