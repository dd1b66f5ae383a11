/** Runs work, so many at the same time at most. Who comes later waits for a place, first come, first served. */
export type Bounded = <T>(work: () => Promise<T>) => Promise<T>;

/** Whoever gets no place within `patienceMs` is refused with what `late` makes. */
export function createBounded(limit: number, patienceMs: number, late: () => Error): Bounded {
  const waiting = new Set<() => void>();
  let running = 0;
  const acquire = async (): Promise<void> => {
    if (running < limit) {
      running += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const takeOver = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(takeOver);
        reject(late());
      }, patienceMs);
      waiting.add(takeOver);
    });
  };
  const release = () => {
    const [next] = waiting;
    if (next === undefined) running -= 1;
    else {
      waiting.delete(next);
      next();
    }
  };
  return async (work) => {
    await acquire();
    try {
      return await work();
    } finally {
      release();
    }
  };
}
