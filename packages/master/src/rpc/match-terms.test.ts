import { expect, it } from "vitest";
import { parseFilter } from "./filters.ts";
import { matchesTerms } from "./match-terms.ts";

const keys = { name: undefined, state: undefined, label: undefined };
const values = { name: ["web-01"], state: ["running"], label: ["zone=a", "rack=7"] };

it.each([
  ["no term", "", true],
  ["the value itself", "name=web-01", true],
  ["another value", "name=web-02", false],
  ["a beginning", "name=web-*", true],
  ["an end", "name=*-01", true],
  ["something in the middle", "name=w*b*1", true],
  ["any value", "name=*", true],
  ["pieces in another order", "name=*1*web*", false],
  ["a piece that would be used twice", "name=web-01*01", false],
  ["the beginning and the end in one piece", "name=web-0*-01", false],
  ["nothing", "name=", false],
  ["other letters", "name=WEB-01", false],
  ["signs of a regular expression", "name=web.01", false],
  ["not another value", "name!=web-02", true],
  ["not the value itself", "name!=web-*", false],
  ["every term of two", "name=web-*,state=running", true],
  ["one term of two", "name=web-*,state=failed", false],
  ["one of several values", "label=rack*", true],
  ["none of several values", "label!=rack*", false],
])("%s: %s is %s", (_name, filter, fits) => expect(matchesTerms(parseFilter(filter, keys), values)).toBe(fits));

it("a key without values fits only what is denied of it", () => {
  expect(matchesTerms(parseFilter("label=*", keys), {})).toBe(false);
  expect(matchesTerms(parseFilter("label!=*", keys), {})).toBe(true);
});

it("a pattern with many stars is answered at once", () => {
  const terms = [{ key: "name", negated: false, glob: `${"*a".repeat(400)}*b` }];
  const startedAt = performance.now();
  expect(matchesTerms(terms, { name: ["a".repeat(100_000)] })).toBe(false);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});
