import type { Http2Session } from "node:http2";
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

/** Watches over a session while it lives; an end that does not answer is given up within ten seconds. */
export function keepAlive(session: Http2Session, { ping, onDead, note, onNote }: KeepAliveOptions): void {
  const pauseMs = pauses[ping];
  let heardAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const isOver = () => session.closed || session.destroyed;
  const wait = (ms: number) => {
    if (!isOver()) timer = setTimeout(next, ms);
  };
  const next = () => {
    const quietMs = performance.now() - heardAt;
    if (ping === "when-quiet" && quietMs < pauseMs) wait(pauseMs - quietMs);
    else if (!isOver()) ask();
  };
  const ask = () => {
    let isAnswered = false;
    // When this process itself was late, the answer may be here already and not read yet: that is done before an immediate runs.
    const giveUp = () => {
      if (isAnswered || session.destroyed) return;
      onDead();
      session.destroy();
    };
    timer = setTimeout(() => setImmediate(giveUp), deadMs - pauseMs);
    const own = note?.();
    try {
      const onAnswer = (error: Error | null) => {
        isAnswered = true;
        clearTimeout(timer);
        heardAt = performance.now();
        if (error === null) wait(pauseMs);
      };
      if (own === undefined) session.ping(onAnswer);
      else session.ping(formatLineNote(own), onAnswer);
    } catch {
      // The session is just ending; its close event tells.
    }
  };
  session.on("ping", (bytes: Buffer) => {
    heardAt = performance.now();
    const told = parseLineNote(bytes);
    if (told !== undefined) onNote?.(told);
  });
  session.once("close", () => clearTimeout(timer));
  wait(pauseMs);
}
