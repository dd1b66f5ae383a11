/** Runs work, so many at the same time at most. Who comes later waits for a place, first come, first served. */
export type Bounded = <T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

/**
 * A call that gets no place within `patienceMs` is refused with what `late` makes. One that is aborted while waiting leaves with
 * the signal's reason, and his work never begins: nobody waits for it any more.
 */
export function createBounded(limit: number, patienceMs: number, late: () => Error): Bounded {
  const waiting = new Set<() => void>();
  let running = 0;
  const acquire = async (signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    if (running < limit) {
      running += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        waiting.delete(takeOver);
        signal?.removeEventListener("abort", onAbort);
      };
      const takeOver = () => {
        leave();
        resolve();
      };
      const onAbort = () => {
        leave();
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        leave();
        reject(late());
      }, patienceMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      waiting.add(takeOver);
    });
  };
  const release = () => {
    const [next] = waiting;
    if (next === undefined) running -= 1;
    else next();
  };
  return async (work, signal) => {
    await acquire(signal);
    try {
      return await work();
    } finally {
      release();
    }
  };
}
