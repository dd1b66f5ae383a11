/**
 * Runs work one after another per key, and at most `limit` keys side by side. First come, first served; an aborted wait gives its
 * place up.
 */
export interface Exclusive {
  run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createExclusive(limit: number): Exclusive {
  const tails = new Map<string, Promise<unknown>>();
  const waiting: (() => void)[] = [];
  let running = 0;
  const acquire = async () => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
  };
  const release = () => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  return {
    async run(key, signal, work) {
      const before = tails.get(key) ?? Promise.resolve();
      const mine = before.then(async () => {
        signal.throwIfAborted();
        await acquire();
        try {
          signal.throwIfAborted();
          return await work();
        } finally {
          release();
        }
      });
      const tail = mine.catch(() => undefined);
      tails.set(key, tail);
      try {
        return await mine;
      } finally {
        if (tails.get(key) === tail) tails.delete(key);
      }
    },
  };
}
