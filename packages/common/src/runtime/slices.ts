import { setImmediate as immediate } from "node:timers/promises";

/** Work that says where it can be interrupted: between two items. It must not depend on anything that may change meanwhile. */
export type Sliced<Result> = Generator<void, Result, void>;

/** Well under what anybody else who is served would notice. */
const sliceMs = 8;

/** Everybody else has his turn. */
export async function turn(): Promise<void> {
  await immediate();
}

/** Does the work in slices of a few milliseconds; between them, everybody else has his turn. */
export async function inSlices<Result>(work: Sliced<Result>, signal?: AbortSignal): Promise<Result> {
  let begun = performance.now();
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return step.value;
    if (performance.now() - begun < sliceMs) continue;
    await turn();
    signal?.throwIfAborted();
    begun = performance.now();
  }
}

/** Does the work at once: for tests, and for what is known to be small. */
export function atOnce<Result>(work: Sliced<Result>): Result {
  for (let step = work.next(); ; step = work.next()) if (step.done === true) return step.value;
}

/** One result for each item. */
export function* mapSliced<Item, Result>(items: Iterable<Item>, map: (item: Item) => Result): Sliced<Result[]> {
  const results: Result[] = [];
  for (const item of items) {
    results.push(map(item));
    yield;
  }
  return results;
}

/** For work that waits now and again, but not for long enough: resolves at once, or after everybody else had his turn. */
export function createPace(signal?: AbortSignal): () => Promise<void> {
  let begun = performance.now();
  return async () => {
    if (performance.now() - begun < sliceMs) return;
    await turn();
    signal?.throwIfAborted();
    begun = performance.now();
  };
}
