import { randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { type Bell, createBell } from "@decnet/common/runtime/signal-bell";
import { MoreThan } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { Outbox, type OutboxRow } from "./tables.ts";

export interface Fact {
  readonly topic: string;
  /** Facts with one key keep their order on the bus. */
  readonly key: string;
  readonly payload: Record<string, unknown>;
}

/** Facts leave here: written in the transaction of the change, read by position. */
export interface EventLog {
  /** The last act of a transaction: from here to the commit no other writer passes, so positions become visible in order. */
  append(tx: Tx, facts: readonly Fact[]): Promise<void>;
  /** Tells subscribers that a transaction with facts has committed. */
  wake(): void;
  /** Facts after a position, as they come; undefined when nothing came for `idleMs`. Ends when aborted. */
  follow(after: string, idleMs: number, signal: AbortSignal): AsyncGenerator<OutboxRow | undefined>;
  /** The newest position; "0" when there is none. */
  head(): Promise<string>;
  /** The last position before a time. */
  positionBefore(time: Date): Promise<string>;
}

const writerLock = 7_233_002;
const batch = 200;
const pollMs = 1_000;

export function createEventLog(database: Database): EventLog {
  const bells = new Set<Bell>();
  const positionOf = async (where: string, parameters: unknown[]): Promise<string> => {
    const rows: { position: string | null }[] = await database.read((tx) =>
      tx.query(`SELECT max(position) AS position FROM outbox ${where}`, parameters),
    );
    return rows[0]?.position ?? "0";
  };
  return {
    async append(tx, facts) {
      if (facts.length === 0) return;
      await tx.query("SELECT pg_advisory_xact_lock($1)", [writerLock]);
      const occurredAt = new Date();
      const values = facts.flatMap((fact) => [randomUUID(), fact.topic, fact.key, JSON.stringify(fact.payload), occurredAt]);
      const places = facts.map((_, row) => `(${[1, 2, 3, 4, 5].map((column) => `$${row * 5 + column}`).join(", ")})`);
      await tx.query(`INSERT INTO outbox (event_id, topic, key, payload, occurred_at) VALUES ${places.join(", ")}`, values);
    },
    wake() {
      for (const bell of bells) bell.ring();
    },
    async *follow(after, idleMs, signal) {
      const bell = createBell();
      bells.add(bell);
      let position = after;
      let quietSince = Date.now();
      try {
        while (!signal.aborted) {
          const rows = await database.read((tx) =>
            tx.getRepository(Outbox).find({ where: { position: MoreThan(position) }, order: { position: "ASC" }, take: batch }),
          );
          for (const row of rows) {
            position = row.position;
            quietSince = Date.now();
            yield row;
          }
          if (rows.length > 0) continue;
          if (Date.now() - quietSince >= idleMs) {
            quietSince = Date.now();
            yield undefined;
          }
          await bell.wait(Math.min(pollMs, idleMs), signal);
        }
      } finally {
        bells.delete(bell);
      }
    },
    head: () => positionOf("", []),
    positionBefore: (time) => positionOf("WHERE occurred_at < $1", [time]),
  };
}

export function parseCursor(cursor: string): string {
  if (!/^\d{1,18}$/.test(cursor))
    throw new AppError("CURSOR_INVALID", "the cursor is not one that this master gave", {
      violations: [{ field: "cursor", description: "digits only" }],
    });
  return cursor;
}
