import { expect, it } from "vitest";
import { createRounds } from "./rounds.ts";

interface Call {
  readonly key: string;
  readonly value: number;
}

/** Rounds whose serving ends when the test says so. */
function useRounds(
  most = 64,
  serve: (items: readonly Call[]) => Promise<readonly number[]> = async (items) => items.map(({ value }) => value),
  mayRepeat: (error: unknown) => boolean = () => true,
) {
  const served: string[][] = [];
  const gates: (() => void)[] = [];
  const call = createRounds<Call, number>({
    most,
    keyOf: ({ key }) => key,
    mayRepeat,
    serve: async (items) => {
      served.push(items.map(({ key, value }) => `${key}${value}`));
      await new Promise<void>((resolve) => gates.push(resolve));
      return serve(items);
    },
  });
  const open = async (times: number) => {
    for (let time = 0; time < times; time += 1) {
      while (gates.length === 0) await new Promise(setImmediate);
      gates.shift()?.();
    }
  };
  return { call, served, open };
}

it("serves the first call at once, and those that come meanwhile together", async () => {
  const { call, served, open } = useRounds();
  const all = Promise.all([call({ key: "a", value: 1 }), call({ key: "b", value: 2 }), call({ key: "c", value: 3 })]);
  await open(2);
  expect(await all).toEqual([1, 2, 3]);
  expect(served).toEqual([["a1"], ["b2", "c3"]]);
});

it("never puts two calls with one key into one round, and keeps their order", async () => {
  const { call, served, open } = useRounds();
  const all = Promise.all([
    call({ key: "x", value: 0 }),
    call({ key: "a", value: 1 }),
    call({ key: "a", value: 2 }),
    call({ key: "b", value: 3 }),
  ]);
  await open(3);
  expect(await all).toEqual([0, 1, 2, 3]);
  expect(served).toEqual([["x0"], ["a1", "b3"], ["a2"]]);
});

it("holds no more calls in a round than it may", async () => {
  const { call, served, open } = useRounds(2);
  const all = Promise.all(["a", "b", "c", "d"].map((key, value) => call({ key, value })));
  await open(3);
  await all;
  expect(served).toEqual([["a0"], ["b1", "c2"], ["d3"]]);
});

it("serves the calls of a failed round again, each alone: one call's error is not another's", async () => {
  const { call, served, open } = useRounds(64, async (items) => {
    if (items.some(({ key }) => key === "bad")) throw new Error("bad");
    return items.map(({ value }) => value);
  });
  const all = Promise.allSettled([call({ key: "a", value: 1 }), call({ key: "bad", value: 2 }), call({ key: "c", value: 3 })]);
  await open(4);
  expect((await all).map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(served).toEqual([["a1"], ["bad2", "c3"], ["bad2"], ["c3"]]);
});

it("does not serve again what may have been done", async () => {
  const fail = async () => {
    throw new Error("no answer");
  };
  const { call, served, open } = useRounds(64, fail, () => false);
  const all = Promise.allSettled([call({ key: "a", value: 1 }), call({ key: "b", value: 2 }), call({ key: "c", value: 3 })]);
  await open(2);
  expect((await all).map((result) => result.status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(served).toEqual([["a1"], ["b2", "c3"]]);
});

it("goes on after a failure", async () => {
  let fails = true;
  const { call, open } = useRounds(64, async (items) => {
    if (fails) throw new Error("once");
    return items.map(({ value }) => value);
  });
  const first = call({ key: "a", value: 1 }).catch(() => "failed");
  await open(1);
  expect(await first).toBe("failed");
  fails = false;
  const second = call({ key: "a", value: 2 });
  await open(1);
  expect(await second).toBe(2);
});
