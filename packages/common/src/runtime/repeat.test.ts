import { describe, expect, it } from "vitest";
import { createEarlyTurn, repeatUntilAborted } from "./repeat.ts";

describe("work that is repeated", () => {
  const farMs = 3_600_000;

  /** Each turn is ended by the test. */
  function useTurns() {
    const stopping = new AbortController();
    const early = createEarlyTurn();
    const turns: (() => void)[] = [];
    let begun: () => void = () => undefined;
    const were: boolean[] = [];
    const work = (isEarly: boolean) =>
      new Promise<void>((resolve) => {
        were.push(isEarly);
        turns.push(resolve);
        begun();
      });
    const done = repeatUntilAborted(farMs, stopping.signal, work, () => undefined, early);
    const isBegun = async (count: number) => {
      while (turns.length < count)
        await new Promise<void>((resolve) => {
          begun = resolve;
        });
    };
    const stop = async () => {
      stopping.abort();
      for (const end of turns) end();
      await done;
    };
    return { early, turns, were, isBegun, stop };
  }

  it("has its next turn at once when it is called for in a pause", async () => {
    const { early, turns, were, isBegun, stop } = useTurns();
    turns[0]?.();
    await new Promise(setImmediate);
    expect(turns).toHaveLength(1);
    early.call();
    await isBegun(2);
    expect(were).toEqual([false, true]);
    await stop();
  });

  it("has one more turn after the one in which it was called for, however often", async () => {
    const { early, turns, isBegun, stop } = useTurns();
    early.call();
    early.call();
    turns[0]?.();
    await isBegun(2);
    turns[1]?.();
    await new Promise(setImmediate);
    expect(turns).toHaveLength(2);
    await stop();
  });
});
