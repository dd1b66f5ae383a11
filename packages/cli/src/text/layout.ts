/** Rows, ages and names as every text shows them. Pure, like everything in this folder: a console can use it as it is. */

/** Columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return columns([head, ...rows]);
}

/** Rows whose cells stand below each other. */
export function columns(rows: readonly (readonly string[])[]): string {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `3s`, `4m`, `2h`, `5d` */
export function age(from: { readonly seconds: bigint } | undefined, now: number): string {
  if (from === undefined) return "never";
  const seconds = Math.max(0, Math.round(now / 1000) - Number(from.seconds));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`;
}

/** The word of an enum value: `DECKY_STATE_RUNNING` and 3 are both `running`. */
export function word(names: Readonly<Record<number, string>>, value: number): string {
  return (names[value] ?? "unknown").toLowerCase().replaceAll("_", "-");
}

/** What attackers or containers wrote must not move the reader's cursor. */
export function visible(text: string): string {
  return text.replaceAll(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
