import { createBell } from "@decnet/common/runtime/signal-bell";
import type { StoredEvent } from "../model/events.ts";

/** Whether a position comes after another: whole numbers as text, of any length. */
export function isAfter(position: string, other: string): boolean {
  return position.length === other.length ? position > other : position.length > other.length;
}

export interface EventFeedOptions {
  /** Events after a position, in order, so many at most. */
  readonly read: (after: string) => Promise<readonly StoredEvent[]>;
  readonly head: () => Promise<string>;
}

/**
 * The newest events in memory, read once for all who follow them. Who reads slowly falls out of it and looks back by himself:
 * nothing is kept for anybody.
 */
export interface EventFeed {
  /** Events after a position; undefined when some of them are not in memory any more. Throws what reading them threw. */
  after(position: string): readonly StoredEvent[] | undefined;
  /** Resolves when there is something new, when the time is over, or when aborted. */
  changed(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Somebody follows; the result ends it. */
  join(): () => void;
  /** Something was stored. */
  wake(): void;
}

const mostRows = 1_000;
/** Of one read; also of what one follower is given before the next has his turn. */
export const mostAtOnce = 200;
const pollMs = 1_000;

export function createEventFeed({ read, head }: EventFeedOptions): EventFeed {
  const bell = createBell();
  const waiting = new Set<() => void>();
  let followers = 0;
  let reading: AbortController | undefined;
  let rows: readonly StoredEvent[] = [];
  /** Everything after `start` up to `end` is in memory; undefined until the first look. */
  let start: string | undefined;
  let end = "0";
  let fault: unknown;

  const tell = () => {
    for (const wake of [...waiting]) wake();
  };
  const take = (found: readonly StoredEvent[]) => {
    const all = [...rows, ...found];
    const left = all.slice(0, Math.max(0, all.length - mostRows));
    rows = all.slice(left.length);
    start = left.at(-1)?.position ?? start;
    end = rows.at(-1)?.position ?? end;
  };
  const forget = () => {
    rows = [];
    start = undefined;
  };
  const run = async (signal: AbortSignal): Promise<void> => {
    try {
      end = await head();
      start = end;
      fault = undefined;
      tell();
      while (!signal.aborted) {
        const found = await read(end);
        if (signal.aborted) return;
        take(found);
        if (found.length > 0) tell();
        if (found.length < mostAtOnce) await bell.wait(pollMs, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      // Each of those who follow hears of it, and comes again.
      fault = error;
      reading = undefined;
      forget();
      tell();
    }
  };
  const begin = () => {
    if (reading !== undefined) return;
    reading = new AbortController();
    void run(reading.signal);
  };

  return {
    after(position) {
      if (fault !== undefined) throw fault;
      if (start === undefined || isAfter(start, position)) return undefined;
      let first = rows.length;
      while (first > 0 && isAfter(rows[first - 1]?.position ?? "0", position)) first -= 1;
      return rows.slice(first, first + mostAtOnce);
    },
    changed: (timeoutMs, signal) =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        signal.addEventListener("abort", done, { once: true });
        waiting.add(done);
        if (signal.aborted) done();
      }),
    join() {
      followers += 1;
      fault = undefined;
      begin();
      return () => {
        followers -= 1;
        if (followers > 0) return;
        reading?.abort();
        reading = undefined;
        forget();
      };
    },
    wake: bell.ring,
  };
}
