import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { patience } from "@decnet/common/runtime/patience";
import pg from "pg";

/** Whether the server answers at all: one that stands still, or is behind a broken network, breaks no connection by itself. */
export interface Answers {
  /** Notes that work of the database is under way. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** It was asked, and said nothing. */
  isSilent(): boolean;
  /** Looks no more. */
  stop(): void;
}

export interface AnswersOptions {
  /** Resolves with whatever the server says to a new connection, refusals too, within its time; throws when it says nothing. */
  readonly ask: () => Promise<unknown>;
  /** Whoever waits for it is not to wait any longer. */
  readonly onSilent: () => void;
}

/** Work that takes longer makes one ask whether anybody is there. */
const suspectMs = 2_000;
const againMs = 500;

export function createAnswers({ ask, onSilent }: AnswersOptions): Answers {
  /** Since when each piece of work is under way, the oldest first. */
  const waiting = new Set<{ readonly since: number }>();
  const stopping = new AbortController();
  let isSilent = false;
  let answeredAt = Number.NEGATIVE_INFINITY;
  let isWatching = false;

  const watch = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const [oldest] = waiting;
      if (oldest === undefined && !isSilent) break;
      const leftMs = oldest === undefined ? 0 : suspectMs - (performance.now() - oldest.since);
      await delay(isSilent ? againMs : Math.max(againMs, leftMs), undefined, { signal: stopping.signal, ref: false });
      const isLate = oldest !== undefined && waiting.has(oldest) && performance.now() - oldest.since >= suspectMs;
      if (!isLate && !isSilent) continue;
      const wasSilent = isSilent;
      const askedAt = performance.now();
      const isAnswered = await ask().then(
        () => true,
        // A machine on which a new connection takes its time may still serve those that there are.
        () => answeredAt > askedAt,
      );
      isSilent = !isAnswered;
      if (isSilent && !wasSilent && !stopping.signal.aborted) onSilent();
    }
  };
  const begin = () => {
    if (isWatching || stopping.signal.aborted) return;
    isWatching = true;
    const over = () => {
      isWatching = false;
      if (waiting.size > 0) begin();
    };
    watch().then(over, over);
  };
  return {
    async during(work) {
      const entry = { since: performance.now() };
      waiting.add(entry);
      begin();
      try {
        const result = await work();
        answeredAt = performance.now();
        return result;
      } finally {
        waiting.delete(entry);
      }
    },
    isSilent: () => isSilent,
    stop: () => stopping.abort(),
  };
}

/** Asks over a connection of its own. What breaks it off is an answer too: then all others are broken off as well. */
export async function askServer(connection: pg.ClientConfig, withinMs: number): Promise<void> {
  const socket = new net.Socket();
  const client = new pg.Client({ ...connection, application_name: "decnet-probe", stream: () => socket });
  client.on("error", () => undefined);
  const asked = client
    .connect()
    .then(() => client.query("SELECT 1"))
    .then(
      () => true,
      () => true,
    );
  const waiting = new AbortController();
  const late = patience(withinMs, waiting.signal).then(() => false);
  try {
    if (!(await Promise.race([asked, late]))) throw new Error(`no answer within ${withinMs} ms`);
  } finally {
    waiting.abort();
    socket.destroy();
  }
}
