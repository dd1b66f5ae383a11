import { expect, it } from "vitest";
import { fitsWhole, isPattern } from "./whole-text.ts";

it("a pattern is for the whole text", () => {
  expect([fitsWhole("[a-z]+", "abc"), fitsWhole("[a-z]+", "abc1"), fitsWhole("a|b", "ab")]).toEqual([true, false, false]);
  expect([isPattern("[a-z]+"), isPattern("(")]).toEqual([true, false]);
});

it.each([
  ["a group that repeats itself", "(a+)+", `${"a".repeat(40)}b`],
  ["alternatives that are the same", "(a|a)*", `${"a".repeat(40)}b`],
  ["many repetitions in a row", "a*a*a*a*a*a*", `${"a".repeat(3_000)}b`],
  ["two repetitions and a long text", "a*a*", `${"a".repeat(200_000)}b`],
])("%s takes no longer than it may", (_name, pattern, text) => {
  const begun = performance.now();
  expect(fitsWhole(pattern, text)).not.toBe(true);
  expect(performance.now() - begun).toBeLessThan(500);
  expect(fitsWhole(pattern, "aaa")).toBe(true);
});
