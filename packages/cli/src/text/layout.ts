/** Rows, ages and names as every text shows them. Pure, like everything in this folder: a console can use it as it is. */

/** Columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return columns([head, ...rows]);
}

/** Rows whose cells stand below each other. */
export function columns(given: readonly (readonly string[])[]): string {
  const rows = given.map((row) => row.map(oneLine));
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

/** What a terminal obeys, what turns text round, and what hides in it; line breaks and tabs are ours. */
const control = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f";
const unprintable = new RegExp(
  `[${control}\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ufff9-\\ufffb\\ufffe\\uffff]|\\p{Surrogate}`,
  "gu",
);

/** What attackers or containers wrote must not move the reader's cursor. */
export function visible(text: string): string {
  return text.replaceAll(unprintable, numberOf);
}

/** The same for a text that belongs on one line: what looks like a line of ours is one. */
export function oneLine(text: string): string {
  return visible(text).replaceAll(/\s*[\n\t]\s*/g, " ");
}

/** The same for a line that somebody else wrote: nothing of it is lost. */
export function verbatim(text: string): string {
  return visible(text).replaceAll("\n", "\\x0a");
}

function numberOf(char: string): string {
  const code = char.charCodeAt(0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
}

/** JSON in which every such character is written as its number: it means the same, and a terminal obeys none of it. */
export function visibleJson(json: string): string {
  return json.replaceAll(unprintable, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
