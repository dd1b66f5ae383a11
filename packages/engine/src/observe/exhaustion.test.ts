import { describe, expect, it } from "vitest";
import {
  advance,
  type ExhaustionState,
  exhaustionOf,
  type LimitCounts,
  noCounts,
  noGain,
  parseKeyed,
  roughly,
} from "./exhaustion.ts";

interface Look {
  readonly inUse?: number;
  readonly refused?: number;
  readonly killed?: number;
  readonly failed?: number;
}

const begun: ExhaustionState = { counts: noCounts, since: undefined, roseAt: undefined, gained: noGain };
const counts = ({ inUse = 3, refused = 0, killed = 0, failed = 0 }: Look): LimitCounts => ({
  processes: { inUse, most: 128, refused },
  memory: { killed, failed },
});
/** One look each three seconds. */
const after = (first: ExhaustionState, ...looks: Look[]) =>
  looks.reduce((state, look, index) => advance(state, counts(look), 3_000 * index), first);
const sentence = (state: ExhaustionState) => exhaustionOf(state)?.sentence;

describe("a container whose processes and memory are counted", () => {
  it("is well while nothing is refused", () => {
    expect(sentence(after(begun, {}, { inUse: 127 }, { inUse: 100 }))).toBeUndefined();
  });
  it("is exhausted while all its processes are in use, whether or not one more was tried", () => {
    const full = after(begun, {}, { inUse: 128 });
    expect(sentence(full)).toBe("all 128 processes that it may have are in use");
    expect(sentence(after(full, { inUse: 5 }))).toBeUndefined();
  });
  it("is exhausted when one more was refused since the last look, though one has ended meanwhile", () => {
    expect(sentence(after(begun, {}, { inUse: 127, refused: 4_711 }))).toBe(
      "all 128 processes that it may have are in use, and over 2000 more were refused",
    );
  });
  it("is exhausted when one was killed for want of memory", () => {
    expect(sentence(after(begun, { killed: 1, failed: 1 }))).toBe(
      "all memory that it may have is in use, and 1 process was killed for it",
    );
    expect(sentence(after(begun, { failed: 1 }))).toBe("all memory that it may have is in use");
  });
  it("says both when both is so", () => {
    expect(sentence(after(begun, { refused: 5, killed: 2 }))).toBe(
      "all 128 processes that it may have are in use, and 5 more were refused; " +
        "all memory that it may have is in use, and 2 processes were killed for it",
    );
  });
  it("counts what is new, and not what was counted before", () => {
    const old = { ...begun, counts: counts({ refused: 900, killed: 3 }) };
    expect(sentence(after(old, { refused: 900, killed: 3 }, { refused: 900, killed: 3 }))).toBeUndefined();
    expect(sentence(after(old, { refused: 902, killed: 3 }))).toContain("and 2 more were refused");
  });
  it("has been exhausted since the first look at which it was, until ten seconds after the last", () => {
    const looks = [{}, { refused: 1 }, { refused: 1 }, { refused: 2 }, { refused: 2 }, { refused: 2 }, { refused: 2 }];
    const state = after(begun, ...looks);
    expect(exhaustionOf(state)).toEqual({
      sentence: "all 128 processes that it may have are in use, and 2 more were refused",
      since: 3_000,
    });
    expect(sentence(after(begun, ...looks, { refused: 2 }))).toBeUndefined();
  });
  it("says nothing of what the kernel does not count", () => {
    expect(exhaustionOf(advance(begun, noCounts, 0))).toBeUndefined();
  });
});

it.each([
  [3, "3"],
  [10, "10"],
  [11, "over 10"],
  [49, "over 20"],
  [50, "50"],
  [999, "over 500"],
  [1_000_000, "1000000"],
])("%i is said as %s", (count, text) => {
  expect(roughly(count)).toBe(text);
});

it("reads lines of a word and a number, and nothing else", () => {
  expect([...parseKeyed("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n\nmax max\n")]).toEqual([
    ["oom_kill_disable", 0],
    ["under_oom", 0],
    ["oom_kill", 12],
  ]);
});
