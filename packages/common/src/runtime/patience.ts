import { setTimeout as delay } from "node:timers/promises";

/** An answer that has arrived is read well within this. */
const mostMs = 250;

/**
 * Resolves once an answer might have been heard for so many milliseconds, or when the signal aborts. Time in which this process
 * heard nothing, as it was stopped or busy with one long piece of work, does not count: nobody else was silent then.
 */
export async function patience(ms: number, signal?: AbortSignal): Promise<void> {
  const shareMs = Math.min(mostMs, ms / 4);
  for (let left = ms; left > 0 && signal?.aborted !== true; left -= shareMs)
    await delay(Math.min(left, shareMs), undefined, { signal, ref: false }).catch(() => undefined);
}
