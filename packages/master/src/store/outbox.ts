import { randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { createBounded } from "@decnet/common/runtime/bounded";
import { versionOf } from "@decnet/contract/bus";
import type { BusEvent, StoredEvent } from "../model/events.ts";
import { createCodec } from "./codec.ts";
import { MoreThan } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { createEventFeed, isAfter, mostAtOnce } from "./event-feed.ts";
import { cursorExpired, forgottenOf } from "./forgotten.ts";
import { Outbox } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertJson } from "./write.ts";

/** Events leave here: written in the transaction of the change, read by position. */
export interface EventLog {
  /**
   * Stored as the last act of the transaction, whenever it is called: from there to the commit no other writer passes, so
   * positions become visible in order. Whoever follows is told after the commit.
   */
  append(tx: Tx, events: readonly BusEvent[]): void;
  /** Tells subscribers that events have been committed. */
  wake(): void;
  /** Called whenever events have been committed here; those of other masters come without a word. */
  onWake(listener: () => void): void;
  /**
   * Events after a position, as they come; undefined when nothing came for `idleMs`. Ends when aborted. Throws CURSOR_EXPIRED for
   * a reader who is so slow that what comes next was removed.
   */
  follow(after: string, idleMs: number, signal: AbortSignal): AsyncGenerator<StoredEvent | undefined>;
  /** The newest position; "0" when there is none. */
  head(): Promise<string>;
  /**
   * The position that a cursor names. Throws CURSOR_INVALID for one that this master cannot have given, and CURSOR_EXPIRED when
   * events after it were removed.
   */
  positionOf(cursor: string): Promise<string>;
  /** The last position before a time. Throws CURSOR_EXPIRED when events since then were removed. */
  positionBefore(time: Date): Promise<string>;
}

/** Held from the first event of a transaction to its commit. */
export const outboxLock = 7_233_002;
/** Readers of what is not in memory any more wait for each other. */
const mostLookBacks = 2;
const patienceMs = 60_000;
/** Until a reader looks again who is ahead of the others. */
const pollMs = 1_000;
const codec = createCodec(Outbox);

/** See `EventLog.append`. */
export function appendEvents(tx: Tx, events: readonly BusEvent[]): void {
  if (events.length === 0) return;
  tx.atLast(async () => {
    await managerOf(tx).query("SELECT pg_advisory_xact_lock($1)", [outboxLock]);
    const occurredAt = new Date();
    const rows = events.map((event) => toRow(event, occurredAt));
    await insertJson(tx, codec, rows);
  });
}

export function createEventLog(database: Database): EventLog {
  const positionWhere = async (where: string, parameters: unknown[]): Promise<string> => {
    const rows: { position: string | null }[] = await database.read((tx) =>
      managerOf(tx).query(`SELECT max(position) AS position FROM outbox ${where}`, parameters),
    );
    return rows[0]?.position ?? "0";
  };
  const forgotten = () => database.read((tx) => forgottenOf(tx, "events"));
  const head = async (): Promise<string> => {
    const newest = await positionWhere("", []);
    if (newest !== "0") return newest;
    return (await forgotten())?.position ?? "0";
  };
  const refuseForgotten = async (position: string, what: string): Promise<void> => {
    const known = await forgotten();
    if (known === undefined || !isAfter(known.position, position)) return;
    throw cursorExpired(what, known, known.position);
  };
  /** What was removed is looked up last: whatever was there before it was is in the rows. */
  const read = async (after: string): Promise<StoredEvent[]> => {
    const rows = await database.read((tx) =>
      managerOf(tx)
        .getRepository(Outbox)
        .find({ where: { position: MoreThan(after) }, order: { position: "ASC" }, take: mostAtOnce }),
    );
    await refuseForgotten(after, "the reader's place");
    return rows;
  };
  const feed = createEventFeed({ read, head });
  const listeners = new Set<() => void>();
  const wake = () => {
    feed.wake();
    for (const listener of listeners) listener();
  };
  const late = () => new AppError("STORAGE_UNAVAILABLE", "the database is too busy", { retryAfterMs: 1_000 });
  const lookBack = createBounded(mostLookBacks, patienceMs, late);
  return {
    append(tx, events) {
      appendEvents(tx, events);
      if (events.length > 0) tx.afterwards(wake);
    },
    wake,
    onWake: (listener) => void listeners.add(listener),
    async *follow(after, idleMs, signal) {
      const leave = feed.join();
      let position = after;
      let quietSince = Date.now();
      try {
        while (!signal.aborted) {
          const near = feed.after(position);
          const rows = near ?? (await lookBack(() => read(position), signal));
          for (const row of rows) {
            if (signal.aborted) return;
            position = row.position;
            quietSince = Date.now();
            yield row;
          }
          if (rows.length > 0) continue;
          if (Date.now() - quietSince >= idleMs) {
            quietSince = Date.now();
            yield undefined;
          }
          const leftMs = idleMs - (Date.now() - quietSince);
          if (!isNewer(feed.after(position))) await feed.changed(near === undefined ? Math.min(leftMs, pollMs) : leftMs, signal);
        }
      } finally {
        leave();
      }
    },
    head,
    async positionOf(cursor) {
      const refuse = (description: string) =>
        new AppError("CURSOR_INVALID", `the cursor is not one that this master gave: ${description}`, {
          violations: [{ field: "cursor", description }],
        });
      if (!/^(0|[1-9]\d{0,17})$/.test(cursor)) throw refuse("digits only");
      if (isAfter(cursor, await head())) throw refuse("it is after the newest event");
      await refuseForgotten(cursor, "the cursor");
      return cursor;
    },
    async positionBefore(time) {
      const position = await positionWhere("WHERE occurred_at < $1", [time]);
      const known = await forgotten();
      if (known === undefined) return position;
      if (time < known.until) throw cursorExpired("since", known, known.until.toISOString());
      return isAfter(known.position, position) ? known.position : position;
    },
  };
}

/** An event as it is stored; the database gives it its position. */
export function toRow(event: BusEvent, occurredAt: Date): StoredEvent {
  return { ...event, version: versionOf(event.topic), position: "", eventId: randomUUID(), occurredAt };
}

/** Whether something came while nobody waited for it. */
function isNewer(rows: readonly StoredEvent[] | undefined): boolean {
  return rows !== undefined && rows.length > 0;
}
