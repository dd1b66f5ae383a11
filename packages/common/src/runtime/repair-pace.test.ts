import { expect, it } from "vitest";
import { isRested, mayRepairAt, paceAfter, type RepairPace } from "./repair-pace.ts";

const now = new Date("2026-01-01T00:00:00Z");
const later = (seconds: number) => new Date(now.getTime() + seconds * 1_000);
const none: RepairPace = { failures: 0, retryAt: null, retryCause: "" };

/** Seconds until the next repair after each of these, which helped or were in vain. */
function pauses(helped: readonly boolean[], random: number): number[] {
  let pace: RepairPace = none;
  return helped.map((did) => {
    pace = paceAfter(pace, did ? "" : "no image", now, () => random);
    return ((pace.retryAt?.getTime() ?? 0) - now.getTime()) / 1_000;
  });
}
const times = (count: number, helped: boolean) => Array.from({ length: count }, () => helped);

it("pauses ever longer after repairs that failed, up to some minutes", () => {
  expect(pauses(times(8, false), 1)).toEqual([10, 20, 40, 80, 160, 300, 300, 300]);
});

it("leaves half of a pause to chance", () => {
  expect(pauses(times(2, false), 0)).toEqual([5, 10]);
});

it("repairs again almost at once after a repair that helped, and within half a minute what breaks again and again", () => {
  expect(pauses(times(8, true), 1)).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
});

it("tries the first one in vain again soon, however many had helped before it, and takes its time with those after it", () => {
  expect(pauses([...times(5, true), false, false, true, false], 1).slice(5)).toEqual([10, 300, 30, 10]);
});

it("allows a repair at any time before the first one, and when the pause is over", () => {
  const { retryAt } = paceAfter(none, "no image", now, () => 1);
  expect([none.retryAt, retryAt].map((at) => mayRepairAt({ retryAt: at }, later(9)))).toEqual([true, false]);
  expect(mayRepairAt({ retryAt }, later(10))).toBe(true);
});

it("forgets what was repaired a minute after the pause was over", () => {
  const pace = paceAfter(none, "no image", now, () => 1);
  expect([69, 70].map((seconds) => isRested(pace, later(seconds)))).toEqual([false, true]);
  expect(isRested(none, later(1_000))).toBe(false);
});
