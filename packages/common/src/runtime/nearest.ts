/**
 * The candidate that a mistyped word most likely meant: at most two edits away, and fewer than half of the word's letters. Case
 * and separators do not count.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const folded = fold(word);
  let best: string | undefined;
  let fewest = Math.min(3, Math.ceil((folded.length + 1) / 2));
  for (const candidate of candidates) {
    const other = fold(candidate);
    if (candidate === word || Math.abs(other.length - folded.length) >= fewest) continue;
    const edits = countEdits(folded, other);
    if (edits >= fewest) continue;
    fewest = edits;
    best = candidate;
  }
  return best;
}

/** The same among a few names that are all known: also one that begins alike. */
export function nearestName(word: string, names: readonly string[]): string | undefined {
  const folded = fold(word);
  const stem = folded.slice(0, Math.max(3, folded.length - 2));
  const begins = (name: string) => fold(name).startsWith(stem) || (name.length > 2 && folded.startsWith(fold(name)));
  if (folded.length > maxWord) return undefined;
  return nearest(word, names) ?? (stem.length < 3 ? undefined : names.find(begins));
}

const maxWord = 64;

function fold(word: string): string {
  return word.toLowerCase().replace(/(?<=.)[-_]/g, "");
}

/** Insertions, deletions, replacements and swaps of neighbours. */
function countEdits(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= from.length; i += 1) {
    const row = [i];
    const above = rows[i - 1] ?? [];
    for (let j = 1; j <= to.length; j += 1) {
      const replaced = (above[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      const swapped = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1] ? (rows[i - 2]?.[j - 2] ?? Infinity) + 1 : Infinity;
      row.push(Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced, swapped));
    }
    rows.push(row);
  }
  return rows[from.length]?.[to.length] ?? Infinity;
}
