/** Runs work that is costly all at once, a little in each turn of the event loop. */
export type Pace = (of: string, work: () => void) => void;

/** A handshake takes about a millisecond. */
const inOneTurn = 4;

/** Who has much to do waits for those that have little: everybody's first comes before anybody's second. */
export function createPace(): Pace {
  const waiting = new Map<string, (() => void)[]>();
  let isRunning = false;
  const turn = () => {
    for (let done = 0; done < inOneTurn; done += 1) {
      const [next] = waiting;
      if (next === undefined) {
        isRunning = false;
        return;
      }
      const [of, [work, ...rest]] = next;
      // The others come before the rest of its own.
      waiting.delete(of);
      if (rest.length > 0) waiting.set(of, rest);
      work?.();
    }
    setImmediate(turn);
  };
  return (of, work) => {
    const same = waiting.get(of);
    if (same === undefined) waiting.set(of, [work]);
    else same.push(work);
    if (isRunning) return;
    isRunning = true;
    setImmediate(turn);
  };
}
