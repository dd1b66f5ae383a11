/** Wakes those that wait, at the latest after a time. Rings before a wait are not lost. */
export interface Bell {
  ring(): void;
  /** Resolves when rung, when the time is over, or when aborted. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
}

export function createBell(): Bell {
  let rung = 0;
  const waiting = new Set<() => void>();
  return {
    ring() {
      rung += 1;
      for (const wake of [...waiting]) wake();
    },
    wait(timeoutMs, signal) {
      if (rung > 0 || signal.aborted) {
        rung = 0;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          waiting.delete(done);
          rung = 0;
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        signal.addEventListener("abort", done, { once: true });
        waiting.add(done);
      });
    },
  };
}
