import { type Bucket, type BucketOptions, createBucket } from "../runtime/bucket.ts";

/** Begins work on new connections a little at a time. `of` says whose it is. */
export interface Pace {
  /** What is over before its turn comes is never begun. */
  begin(of: string, work: Work): void;
  /** Whoever had to be cut waits longer the next time, as if it had come so often. */
  charge(of: string, times: number): void;
}

export interface Work {
  readonly isOver: () => boolean;
  /** `giveBack` is for work that turned out to be nobody's flood: what it cost is there again, for the next in its line. */
  readonly begin: (giveBack: () => void) => void;
}

/** A handshake takes about a millisecond: whoever is connected already waits no longer than for a few. */
const usualInOneTurn = 4;
const retryMs = 10;
/** Lines that are remembered although nobody waits in them. */
const mostEmpty = 1_000;
/** Of a line that is longer, those are looked for that are over. */
const longLine = 256;

export interface PaceOptions extends BucketOptions {
  readonly order: "newest first" | "oldest first" | "by lot";
  /** So many are begun before everybody else has his turn. */
  readonly inOneTurn?: number;
  /** After a turn in which any began, none begins for so many times as long as it took. */
  readonly rest?: number;
  /** Of all lines together, but for those of which somebody is expected: a flood from everywhere leaves them their own. */
  readonly total?: BucketOptions;
  readonly isExpected?: (of: string) => boolean;
  /** What one costs of each rate: more while the loop is busy. */
  readonly cost?: (isExpected: boolean) => number;
}

interface Line {
  waiting: Work[];
  /** As long as it was when it was looked through. */
  looked: number;
  readonly bucket: Bucket;
}

const unlimited: BucketOptions = { burst: Number.POSITIVE_INFINITY, perSecond: 0 };

/**
 * Who has much to do waits for those that have little. Where a line has a rate, its oldest must not come first: under a flood
 * they are given up by their callers, or cut, before their turn comes. Nor must its newest, where somebody honest may stand in
 * the same line: a flood comes again as soon as it was served. Lots are drawn there.
 */
export function createPace({
  order,
  inOneTurn = usualInOneTurn,
  rest = 0,
  total = unlimited,
  isExpected = () => false,
  cost: costOf = () => 1,
  ...ofOne
}: PaceOptions): Pace {
  const lines = new Map<string, Line>();
  /** Those in which somebody waits, in the order of their turns. */
  const busy = new Map<string, Line>();
  const ofAll = createBucket(total);
  let isRunning = false;
  const take = ({ waiting }: Line) => (order === "oldest first" ? waiting.shift() : waiting.pop());
  /** Those that gave up are left out on the way: they cost nobody anything. */
  const isWaiting = (line: Line): boolean => {
    for (;;) {
      if (order === "by lot") drawLast(line.waiting);
      const work = line.waiting.at(order === "oldest first" ? 0 : -1);
      if (work === undefined) return false;
      if (!work.isOver()) return true;
      take(line);
    }
  };
  /** What gives back what it cost; undefined when it may not begin yet. */
  const pay = (of: string, { bucket }: Line): (() => void) | undefined => {
    const isKnown = isExpected(of);
    const cost = costOf(isKnown);
    if (!bucket.take(cost)) return undefined;
    const giveBack = () => bucket.charge(-cost);
    if (isKnown || ofAll.take(cost)) return giveBack;
    giveBack();
    return undefined;
  };
  const turn = () => {
    const begunAt = performance.now();
    let left = inOneTurn;
    for (const [of, line] of busy) {
      if (left === 0) break;
      if (!isWaiting(line)) {
        busy.delete(of);
        continue;
      }
      const giveBack = pay(of, line);
      if (giveBack === undefined) continue;
      take(line)?.begin(giveBack);
      left -= 1;
      // The others come before the rest of its own.
      busy.delete(of);
      if (line.waiting.length > 0) busy.set(of, line);
    }
    if (busy.size === 0) isRunning = false;
    else if (left === inOneTurn) setTimeout(turn, retryMs);
    else setImmediate(rest === 0 ? turn : () => setTimeout(turn, rest * (performance.now() - begunAt)));
  };
  const lineOf = (of: string): Line => {
    if (lines.size > mostEmpty) for (const other of lines.keys()) if (!busy.has(other)) lines.delete(other);
    const line = lines.get(of) ?? { waiting: [], looked: 0, bucket: createBucket(ofOne) };
    lines.set(of, line);
    return line;
  };
  return {
    begin(of, work) {
      const line = lineOf(of);
      line.waiting.push(work);
      busy.set(of, line);
      if (line.waiting.length > 2 * line.looked + longLine) {
        line.waiting = line.waiting.filter((each) => !each.isOver());
        line.looked = line.waiting.length;
      }
      if (isRunning) return;
      isRunning = true;
      setImmediate(turn);
    },
    charge: (of, times) => lineOf(of).bucket.charge(times),
  };
}

/** Any of them is the last one now. */
function drawLast(waiting: Work[]): void {
  const last = waiting.length - 1;
  const at = Math.floor(Math.random() * waiting.length);
  const [drawn, other] = [waiting[at], waiting[last]];
  if (drawn === undefined || other === undefined) return;
  waiting[at] = other;
  waiting[last] = drawn;
}
