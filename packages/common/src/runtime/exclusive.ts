/**
 * Runs work one after another per key, and at most `limit` keys side by side. First come, first served; an aborted wait ends at
 * once.
 */
export interface Exclusive {
  run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createExclusive(limit: number): Exclusive {
  const tails = new Map<string, Promise<unknown>>();
  const waiting = new Set<() => void>();
  let running = 0;
  const acquire = async (signal: AbortSignal) => {
    signal.throwIfAborted();
    if (running < limit) {
      running += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        waiting.delete(enter);
        reject(signal.reason);
      };
      waiting.add(enter);
      signal.addEventListener("abort", leave, { once: true });
    });
  };
  const release = () => {
    const [next] = waiting;
    if (next === undefined) {
      running -= 1;
      return;
    }
    waiting.delete(next);
    next();
  };
  return {
    run(key, signal, work) {
      const before = tails.get(key) ?? Promise.resolve();
      const mine = unlessAborted(before, signal).then(async () => {
        await acquire(signal);
        try {
          signal.throwIfAborted();
          return await work();
        } finally {
          release();
        }
      });
      // The next one waits for those before as well, also when this one gives up.
      const tail = Promise.allSettled([before, mine]);
      tails.set(key, tail);
      void tail.then(() => {
        if (tails.get(key) === tail) tails.delete(key);
      });
      return mine;
    },
  };
}

async function unlessAborted(before: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const giveUp = () => reject(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    void before.then(() => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    });
  });
}
