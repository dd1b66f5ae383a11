import { setTimeout as delay } from "node:timers/promises";

/** Does something now and again after each interval, until aborted. A failure is told and the next turn taken all the same. */
export async function repeatUntilAborted(
  intervalMs: number,
  signal: AbortSignal,
  work: () => Promise<unknown>,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    await work().catch(onError);
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}
