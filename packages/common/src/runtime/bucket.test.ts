import { expect, it } from "vitest";
import { createBucket } from "./bucket.ts";

it("gives so much at once and so much in each second, and never more than it holds", () => {
  let now = 0;
  const bucket = createBucket({ burst: 3, perSecond: 2 }, () => now);
  const takes = (count: number) => Array.from({ length: count }, () => bucket.take());
  expect(takes(4)).toEqual([true, true, true, false]);
  now = 500;
  expect(takes(2)).toEqual([true, false]);
  now = 60_000;
  expect(bucket.take(4)).toBe(false);
  expect(takes(4)).toEqual([true, true, true, false]);
});

it("can be charged with more than there is, and not without end", () => {
  let now = 0;
  const bucket = createBucket({ burst: 3, perSecond: 1 }, () => now);
  bucket.charge(100);
  now = 3_875;
  expect(bucket.take()).toBe(false);
  now = 4_000;
  expect(bucket.take()).toBe(true);
});
