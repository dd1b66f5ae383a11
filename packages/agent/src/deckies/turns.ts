import { createExclusive } from "@decnet/common/runtime/exclusive";

/** Runs of deckies: one at a time for each, different ones side by side, at most `parallel` of them. */
export interface Turns {
  /** Runs `act` after whatever runs for this decky now has settled. */
  take<T>(key: string, revision: number, act: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Ends the run of an older revision. */
  supersede(key: string, revision: number, why: (running: number) => Error): void;
  /** Whether a run of this decky goes on or waits. */
  isBusy(key: string): boolean;
  /** How often a run of this decky began or ended. */
  count(key: string): number;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

interface Run {
  readonly revision: number;
  readonly abort: AbortController;
}

export function createTurns(parallel: number, stopping: AbortSignal): Turns {
  const lanes = createExclusive(parallel);
  const running = new Map<string, Run>();
  const work = new Set<Promise<unknown>>();
  const waiting = new Map<string, number>();
  const counts = new Map<string, number>();
  const change = (counted: Map<string, number>, key: string, by: number): void => {
    const count = (counted.get(key) ?? 0) + by;
    if (count === 0) counted.delete(key);
    else counted.set(key, count);
  };
  return {
    async take(key, revision, act) {
      change(waiting, key, 1);
      const mine = lanes.run(key, stopping, async () => {
        const run: Run = { revision, abort: new AbortController() };
        running.set(key, run);
        change(counts, key, 1);
        try {
          return await act(AbortSignal.any([stopping, run.abort.signal]));
        } finally {
          running.delete(key);
          change(counts, key, 1);
        }
      });
      work.add(mine);
      try {
        return await mine;
      } finally {
        work.delete(mine);
        change(waiting, key, -1);
      }
    },
    supersede(key, revision, why) {
      const run = running.get(key);
      if (run !== undefined && run.revision < revision) run.abort.abort(why(run.revision));
    },
    isBusy: (key) => waiting.has(key),
    count: (key) => counts.get(key) ?? 0,
    async idle() {
      await Promise.allSettled([...work]);
    },
  };
}
