/**
 * Delay before attempt `failures` + 1, in milliseconds: doubles up to a cap, with half of it left to chance. `random` is in [0,
 * 1).
 */
export function backoffMs(failures: number, options: { baseMs: number; maxMs: number }, random: () => number): number {
  const full = Math.min(options.maxMs, options.baseMs * 2 ** Math.min(failures, 30));
  return Math.round(full / 2 + (full / 2) * random());
}
