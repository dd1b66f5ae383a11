import { droppedEvent } from "../model/events.ts";
import type { Tx } from "./database.ts";
import { noteForgotten } from "./forgotten.ts";
import { appendEvents } from "./outbox.ts";
import { managerOf } from "./transaction.ts";

/** Up to where the bus has the events; "0" before it had any. */
export async function sentPosition(tx: Tx): Promise<string> {
  const rows: { position: string | null }[] = await managerOf(tx).query("SELECT min(position)::text AS position FROM relays");
  return rows[0]?.position ?? "0";
}

const lock = "SELECT FROM relays FOR UPDATE";
const note = `UPDATE relays SET position = $1, dropped = dropped + $2, dropped_at = clock_timestamp() WHERE position < $1`;

interface Gone {
  readonly count: number;
  readonly unsent: number;
  readonly position: string | null;
  readonly until: Date | null;
}

/**
 * Removes events whether or not the bus has them. How many it has not had is counted, and told in an event of its own; whoever
 * sends goes on behind them.
 */
export async function dropUnsent(tx: Tx, remove: string, values: readonly unknown[]): Promise<Pick<Gone, "count" | "unsent">> {
  const manager = managerOf(tx);
  await manager.query(lock);
  const rows: Gone[] = await manager.query(remove, [...values, await sentPosition(tx)]);
  const { count = 0, unsent = 0, position = null, until = null } = rows[0] ?? {};
  if (position === null || until === null) return { count: 0, unsent: 0 };
  await noteForgotten(tx, "events", { position, until });
  await manager.query(note, [position, unsent]);
  if (unsent > 0) appendEvents(tx, [droppedEvent(unsent, position, until)]);
  return { count, unsent };
}
