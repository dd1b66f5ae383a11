import { randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { type Bell, createBell } from "@decnet/common/runtime/signal-bell";
import type { BusEvent, StoredEvent } from "../model/events.ts";
import { createCodec } from "./codec.ts";
import { MoreThan } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { Outbox } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertJson } from "./write.ts";

/** Events leave here: written in the transaction of the change, read by position. */
export interface EventLog {
  /** The last act of a transaction: from here to the commit no other writer passes, so positions become visible in order. */
  append(tx: Tx, events: readonly BusEvent[]): Promise<void>;
  /** Tells subscribers that events have been committed. */
  wake(): void;
  /** Events after a position, as they come; undefined when nothing came for `idleMs`. Ends when aborted. */
  follow(after: string, idleMs: number, signal: AbortSignal): AsyncGenerator<StoredEvent | undefined>;
  /** The newest position; "0" when there is none. */
  head(): Promise<string>;
  /** The position that a cursor names. Throws CURSOR_INVALID for one that this master cannot have given. */
  positionOf(cursor: string): Promise<string>;
  /** The last position before a time. */
  positionBefore(time: Date): Promise<string>;
}

/** Held from the first event of a transaction to its commit. */
export const outboxLock = 7_233_002;
const batchSize = 200;
const pollMs = 1_000;
const codec = createCodec(Outbox);

export function createEventLog(database: Database): EventLog {
  const bells = new Set<Bell>();
  const positionWhere = async (where: string, parameters: unknown[]): Promise<string> => {
    const rows: { position: string | null }[] = await database.read((tx) =>
      managerOf(tx).query(`SELECT max(position) AS position FROM outbox ${where}`, parameters),
    );
    return rows[0]?.position ?? "0";
  };
  return {
    async append(tx, events) {
      if (events.length === 0) return;
      await managerOf(tx).query("SELECT pg_advisory_xact_lock($1)", [outboxLock]);
      const occurredAt = new Date();
      const rows = events.map((event) => ({ ...event, position: "", eventId: randomUUID(), occurredAt }));
      await insertJson(tx, codec, rows);
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
            managerOf(tx)
              .getRepository(Outbox)
              .find({ where: { position: MoreThan(position) }, order: { position: "ASC" }, take: batchSize }),
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
    head: () => positionWhere("", []),
    async positionOf(cursor) {
      const refuse = (description: string) =>
        new AppError("CURSOR_INVALID", `the cursor is not one that this master gave: ${description}`, {
          violations: [{ field: "cursor", description }],
        });
      if (!/^(0|[1-9]\d{0,17})$/.test(cursor)) throw refuse("digits only");
      if (BigInt(cursor) > BigInt(await positionWhere("", []))) throw refuse("it is after the newest event");
      return cursor;
    },
    positionBefore: (time) => positionWhere("WHERE occurred_at < $1", [time]),
  };
}
