/** The value below which this share of the values lies; NaN when there is none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Prints a table row by row: each cell as wide as its heading, or wider when it must be. */
export function createTable(headings: readonly string[]): (cells: readonly string[]) => void {
  const print = (cells: readonly string[]) =>
    void process.stdout.write(`${cells.map((cell, at) => cell.padEnd(headings[at]?.length ?? 0)).join("  ")}\n`);
  print(headings);
  return print;
}
