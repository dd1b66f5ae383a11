const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `30s`, `10m`, `1h`, `2d`, or a number of seconds, in milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, amount = "", unit = "s"] = /^(\d{1,6})(ms|s|m|h|d)?$/.exec(text) ?? [];
  return amount === "" ? undefined : Number(amount) * (units[unit] ?? 1_000);
}

/** `6h`, `90m`, `2d`: the greatest unit that says it exactly. */
export function formatEvery(seconds: number): string {
  const [unit = "s", size = 1_000] = Object.entries(units).findLast(([, each]) => (seconds * 1_000) % each === 0) ?? [];
  return `${(seconds * 1_000) / size}${unit}`;
}

/** `0.2s`, `12.0s`, `1m04s` */
export function formatTook(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
}
