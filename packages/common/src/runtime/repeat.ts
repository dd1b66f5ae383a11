import { setTimeout as delay } from "node:timers/promises";

/** A turn that is not waited for. */
export interface EarlyTurn {
  /** The next turn is now, or right after the one that is being taken: that may have begun too early. */
  call(): void;
  /** A pause that a call ends, or saves. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export function createEarlyTurn(): EarlyTurn {
  let isCalled = false;
  let end: () => void = () => undefined;
  return {
    call() {
      isCalled = true;
      end();
    },
    async pause(ms, signal) {
      const ending = new AbortController();
      end = () => ending.abort();
      const both = AbortSignal.any([signal, ending.signal]);
      if (!isCalled) await delay(ms, undefined, { signal: both }).catch(() => undefined);
      isCalled = false;
    },
  };
}

/** Does something now and again after each interval, until aborted. A failure is told and the next turn taken all the same. */
export async function repeatUntilAborted(
  intervalMs: number,
  signal: AbortSignal,
  work: () => Promise<unknown>,
  onError: (error: unknown) => void,
  { pause }: Pick<EarlyTurn, "pause"> = createEarlyTurn(),
): Promise<void> {
  while (!signal.aborted) {
    await work().catch(onError);
    await pause(intervalMs, signal);
  }
}
