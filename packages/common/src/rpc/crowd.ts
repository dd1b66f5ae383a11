import { sourceOf } from "./source.ts";

/** Strangers by where they come from; of one source the oldest first. */
export interface Crowd<Stranger> {
  add(stranger: Stranger): void;
  remove(stranger: Stranger): void;
  count(): number;
  of(source: string): ReadonlySet<Stranger> | undefined;
  /** All of the source that has most, of those sources that count. */
  largest(counts?: (source: string) => boolean): ReadonlySet<Stranger> | undefined;
}

export function createCrowd<Stranger extends { readonly source: string }>(): Crowd<Stranger> {
  const bySource = new Map<string, Set<Stranger>>();
  let count = 0;
  return {
    add(stranger) {
      const same = bySource.get(stranger.source) ?? new Set();
      bySource.set(stranger.source, same.add(stranger));
      count += 1;
    },
    remove(stranger) {
      const same = bySource.get(stranger.source);
      if (same?.delete(stranger) !== true) return;
      count -= 1;
      if (same.size === 0) bySource.delete(stranger.source);
    },
    count: () => count,
    of: (source) => bySource.get(source),
    largest(counts = () => true) {
      let largest: Set<Stranger> | undefined;
      for (const [source, each] of bySource) if (each.size > (largest?.size ?? 0) && counts(source)) largest = each;
      return largest;
    },
  };
}

/** So many of those who proved who they are are known again when they come back. */
const mostExpected = 20_000;

/** The sources of those who proved who they are, not long ago; `known` are addresses. */
export function createExpected(known: readonly string[]): { has(source: string): boolean; add(source: string): void } {
  /** The one that was seen last is the last. */
  const sources = new Set(known.map(sourceOf));
  return {
    has: (source) => sources.has(source),
    add(source) {
      sources.delete(source);
      sources.add(source);
      for (const oldest of sources) {
        if (sources.size <= mostExpected) break;
        sources.delete(oldest);
      }
    },
  };
}
