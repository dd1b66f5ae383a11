import { setTimeout as delay } from "node:timers/promises";

/** A turn that is not waited for. */
export interface EarlyTurn {
  /** The next turn is now, or right after the one that is being taken: that may have begun too early. */
  call(): void;
  /** A pause that a call ends, or saves; whether it did. */
  pause(ms: number, signal: AbortSignal): Promise<boolean>;
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
      const wasCalled = isCalled;
      isCalled = false;
      return wasCalled;
    },
  };
}

/** Does something now and again after each interval, until aborted. A failure is told and the next turn taken all the same. */
export async function repeatUntilAborted(
  intervalMs: number,
  signal: AbortSignal,
  work: (isEarly: boolean) => Promise<unknown>,
  onError: (error: unknown) => void,
  { pause }: Pick<EarlyTurn, "pause"> = createEarlyTurn(),
): Promise<void> {
  let isEarly = false;
  while (!signal.aborted) {
    await work(isEarly).catch(onError);
    isEarly = await pause(intervalMs, signal);
  }
}
