import { performance } from "node:perf_hooks";

/** How much strangers are given while others need the event loop. */
export interface Leisure {
  /** What one of a stranger's things costs of what he has: 1 while there is leisure, and more the longer there is none. */
  cost(most: number): number;
}

/** The part of the time in which the loop has work; above it everybody else waits for it. */
const busy = 0.6;
const lookMs = 50;
const least = 0.05;

/**
 * Rates that a quiet machine can afford are too much for one that is busy, or shared with others: whoever has proved nothing gets
 * less of it for as long as the loop has hardly a pause.
 */
export function createLeisure(
  /** How much of the time the loop had work since the last look. */
  utilization: () => number = sinceLastLook(),
  now: () => number = () => performance.now(),
): Leisure {
  let share = 1;
  let lookedAt = now();
  return {
    cost(most) {
      const ms = now() - lookedAt;
      if (ms >= lookMs) {
        lookedAt += ms;
        share = utilization() > busy ? Math.max(least, share / 2) : Math.min(1, share * 1.2 ** (ms / lookMs));
      }
      return Math.min(most, 1 / share);
    },
  };
}

function sinceLastLook(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const current = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(current, last);
    last = current;
    return utilization;
  };
}
