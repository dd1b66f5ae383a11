import { patience } from "./patience.ts";

/**
 * A look that is shared: whoever asks within `freshMs` gets what was seen, and who asks meanwhile waits for the same look.
 * One that takes longer than `patienceMs` has failed for those who wait; it is not begun a second time while it goes on.
 */
export function keepFresh<T>(look: () => Promise<T>, freshMs: number, patienceMs: number): () => Promise<T> {
  let looking: Promise<T> | undefined;
  let isOver = true;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (looking === undefined || (isOver && performance.now() - lookedAt > freshMs)) {
      isOver = false;
      lookedAt = performance.now();
      looking = look().finally(() => {
        isOver = true;
      });
      looking.catch(() => undefined);
    }
    const waiting = new AbortController();
    const late = patience(patienceMs, waiting.signal).then(() => {
      throw new Error(`not known within ${patienceMs} ms`);
    });
    late.catch(() => undefined);
    return Promise.race([looking, late]).finally(() => waiting.abort());
  };
}
