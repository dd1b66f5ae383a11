import { type Bucket, type BucketOptions, createBucket } from "../runtime/bucket.ts";

/** Begins work on new connections a little at a time. `of` says whose it is. */
export interface Pace {
  begin(of: string, work: () => void): void;
  /** Whoever had to be cut waits longer the next time, as if it had come so often. */
  charge(of: string, times: number): void;
}

/** A handshake takes about a millisecond: whoever is connected already waits no longer than for a few. */
const inOneTurn = 4;
const retryMs = 10;
/** Lines that are remembered although nobody waits in them. */
const mostEmpty = 1_000;

export interface PaceOptions extends BucketOptions {
  readonly order: "newest first" | "oldest first";
}

interface Line {
  readonly waiting: (() => void)[];
  readonly bucket: Bucket;
}

/**
 * Who has much to do waits for those that have little. Where a line has a rate, its newest comes first: under a flood the oldest
 * are given up by their callers, or cut, before their turn comes.
 */
export function createPace({ order, ...ofOne }: PaceOptions): Pace {
  const lines = new Map<string, Line>();
  let isRunning = false;
  const turn = () => {
    let left = inOneTurn;
    let isLate = false;
    for (const [of, line] of lines) {
      if (left === 0) break;
      if (line.waiting.length === 0) continue;
      if (!line.bucket.take()) {
        isLate = true;
        continue;
      }
      const work = order === "newest first" ? line.waiting.pop() : line.waiting.shift();
      work?.();
      left -= 1;
      // The others come before the rest of its own.
      lines.delete(of);
      lines.set(of, line);
    }
    const isDone = [...lines.values()].every(({ waiting }) => waiting.length === 0);
    if (isDone) isRunning = false;
    else if (isLate && left === inOneTurn) setTimeout(turn, retryMs);
    else setImmediate(turn);
  };
  const lineOf = (of: string): Line => {
    if (lines.size > mostEmpty) for (const [other, { waiting }] of lines) if (waiting.length === 0) lines.delete(other);
    const line = lines.get(of) ?? { waiting: [], bucket: createBucket(ofOne) };
    lines.set(of, line);
    return line;
  };
  return {
    begin(of, work) {
      lineOf(of).waiting.push(work);
      if (isRunning) return;
      isRunning = true;
      setImmediate(turn);
    },
    charge: (of, times) => lineOf(of).bucket.charge(times),
  };
}
