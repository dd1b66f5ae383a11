import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createBounded } from "./bounded.ts";

/** Work that goes on until it is told to end. */
function held() {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { end, over };
}

describe("bounded work", () => {
  it("runs so many at the same time, the others in the order in which they came", async () => {
    const run = createBounded(2, 60_000, () => new Error("late"));
    const begun: number[] = [];
    const works = [held(), held(), held(), held()];
    const all = works.map((work, at) =>
      run(() => {
        begun.push(at);
        return work.over;
      }),
    );
    await setImmediate();
    expect(begun).toEqual([0, 1]);
    works[1]?.end();
    await all[1];
    await setImmediate();
    expect(begun).toEqual([0, 1, 2]);
    for (const work of works) work.end();
    await Promise.all(all);
    expect(begun).toEqual([0, 1, 2, 3]);
  });

  it("gives the place of failed work to the next", async () => {
    const run = createBounded(1, 60_000, () => new Error("late"));
    await expect(run(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    await expect(run(() => Promise.resolve("done"))).resolves.toBe("done");
  });

  it("refuses who waited too long, and nobody else", async () => {
    const run = createBounded(1, 5, () => new Error("late"));
    const first = held();
    const running = run(() => first.over);
    await expect(run(() => Promise.resolve())).rejects.toThrow("late");
    first.end();
    await running;
    await expect(run(() => Promise.resolve("done"))).resolves.toBe("done");
  });

  it("never begins what nobody waits for any more, and gives its place to the next", async () => {
    const run = createBounded(1, 60_000, () => new Error("late"));
    const first = held();
    const running = run(() => first.over);
    const gone = new AbortController();
    const begun: string[] = [];
    const given = run(async () => void begun.push("given up"), gone.signal);
    const next = run(async () => void begun.push("next"));
    gone.abort(new Error("gone"));
    await expect(given).rejects.toThrow("gone");
    await expect(run(async () => void begun.push("too late"), gone.signal)).rejects.toThrow("gone");
    first.end();
    await Promise.all([running, next]);
    expect(begun).toEqual(["next"]);
  });
});
