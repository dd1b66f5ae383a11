import { backoffMs } from "./backoff.ts";

/** How often something was repaired lately, and when it may be at the earliest again. */
export interface RepairPace {
  readonly failures: number;
  readonly retryAt: Date | null;
  /** Why the last one was in vain; empty when it helped. */
  readonly retryCause: string;
}

/** A repair that failed, or did not help. */
const failedBackoff = { baseMs: 5_000, maxMs: 300_000 };
/** One that helped: what breaks again and again is repaired less often, and a decoy is not gone for long. */
const helpedBackoff = { baseMs: 500, maxMs: 30_000 };
/** What was well for so long starts from the beginning. */
const restMs = 60_000;

/**
 * The pace after one more repair, which helped unless there is a cause that it was in vain. Repairs are never given up: the
 * pauses grow to a ceiling. The first in vain after some that helped is tried again soon, the next ones are not: a busy minute
 * does not keep a decoy away for many.
 */
export function paceAfter(before: Omit<RepairPace, "retryAt">, retryCause: string, now: Date, random: () => number): RepairPace {
  const failures = before.failures + 1;
  const isFirstInVain = retryCause !== "" && before.retryCause === "";
  const pauseMs = backoffMs(isFirstInVain ? 1 : failures, retryCause === "" ? helpedBackoff : failedBackoff, random);
  return { failures, retryAt: new Date(now.getTime() + pauseMs), retryCause };
}

export function mayRepairAt({ retryAt }: Pick<RepairPace, "retryAt">, now: Date): boolean {
  return retryAt === null || retryAt <= now;
}

/** Whether what is seen well now was so for long enough to forget what was repaired. */
export function isRested({ retryAt }: Pick<RepairPace, "retryAt">, now: Date): boolean {
  return retryAt !== null && now.getTime() - retryAt.getTime() >= restMs;
}
