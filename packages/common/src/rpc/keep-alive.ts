import { formatLineNote, type LineNote, parseLineNote } from "./line-note.ts";

export interface KeepAliveOptions {
  /**
   * "always": this end pings every four seconds. "when-quiet": only when the other end has not pinged for five, as one that
   * pings always does not while it lives; that spares the end with many connections half of the pings.
   */
  readonly ping: "always" | "when-quiet";
  readonly onDead: () => void;
  /** Goes with each ping of this end. */
  readonly note?: () => LineNote | undefined;
  /** Came with a ping of the other end. */
  readonly onNote?: (note: LineNote) => void;
}

const pauses = { always: 4_000, "when-quiet": 5_000 } as const;
/** Whatever is broken, and on whichever end: a connection is given up so long after the last word that came over it. */
const deadMs = 10_000;

/** What is needed of a session. */
export interface WatchedSession {
  readonly closed: boolean;
  readonly destroyed: boolean;
  ping(onAnswer: OnAnswer): unknown;
  ping(bytes: Buffer, onAnswer: OnAnswer): unknown;
  destroy(): void;
  on(event: "ping", listener: (bytes: Buffer) => void): unknown;
  once(event: "close", listener: () => void): unknown;
}

type OnAnswer = (error: Error | null) => void;

/**
 * Watches over a session until it has closed; an end that does not answer is given up within ten seconds. So is a session that is
 * ending and does not come to its end: Node waits for its last bytes to be sent, also when nobody takes them any more.
 */
export function keepAlive(session: WatchedSession, { ping, onDead, note, onNote }: KeepAliveOptions): void {
  const pauseMs = pauses[ping];
  let heardAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const wait = (ms: number) => {
    if (!isClosed) timer = setTimeout(next, ms);
  };
  const giveUp = () => {
    onDead();
    session.destroy();
  };
  const next = () => {
    const quietMs = performance.now() - heardAt;
    if (session.closed || session.destroyed) giveUp();
    else if (ping === "when-quiet" && quietMs < pauseMs) wait(pauseMs - quietMs);
    else ask();
  };
  const ask = () => {
    let isAnswered = false;
    // When this process itself was late, the answer may be here already and not read yet: that is done before an immediate runs.
    const check = () => {
      if (!isAnswered && !isClosed) giveUp();
    };
    timer = setTimeout(() => setImmediate(check), deadMs - pauseMs);
    const own = note?.();
    try {
      const onAnswer = (error: Error | null) => {
        isAnswered = true;
        clearTimeout(timer);
        if (error === null) heardAt = performance.now();
        wait(pauseMs);
      };
      if (own === undefined) session.ping(onAnswer);
      else session.ping(formatLineNote(own), onAnswer);
    } catch {
      // The session is just ending.
    }
  };
  session.on("ping", (bytes: Buffer) => {
    heardAt = performance.now();
    const told = parseLineNote(bytes);
    if (told !== undefined) onNote?.(told);
  });
  session.once("close", () => {
    isClosed = true;
    clearTimeout(timer);
  });
  wait(pauseMs);
}
