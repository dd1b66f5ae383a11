import { backoffMs } from "./backoff.ts";

/** How often something was repaired lately, and when it may be at the earliest again. */
export interface RepairPace {
  readonly failures: number;
  readonly retryAt: Date | null;
}

/** A repair that failed, or did not help. */
const failedBackoff = { baseMs: 5_000, maxMs: 300_000 };
/** One that helped: what breaks again and again is repaired less often, and a decoy is not gone for long. */
const helpedBackoff = { baseMs: 500, maxMs: 30_000 };
/** What was well for so long starts from the beginning. */
const restMs = 60_000;

/** The pace after one more repair. Repairs are never given up: the pauses grow to a ceiling. */
export function paceAfter({ failures }: Pick<RepairPace, "failures">, helped: boolean, now: Date, random: () => number) {
  const count = failures + 1;
  const pauseMs = backoffMs(count, helped ? helpedBackoff : failedBackoff, random);
  return { failures: count, retryAt: new Date(now.getTime() + pauseMs) } satisfies RepairPace;
}

export function mayRepairAt({ retryAt }: Pick<RepairPace, "retryAt">, now: Date): boolean {
  return retryAt === null || retryAt <= now;
}

/** Whether what is seen well now was so for long enough to forget what was repaired. */
export function isRested({ retryAt }: Pick<RepairPace, "retryAt">, now: Date): boolean {
  return retryAt !== null && now.getTime() - retryAt.getTime() >= restMs;
}
