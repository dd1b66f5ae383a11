import { expect, it } from "vitest";
import { masterAfter, mergeMasters } from "./masters.ts";

it.each<[string, string[], string[], string, string[]]>([
  ["nothing was told", ["a:1", "b:1"], [], "a:1", ["a:1", "b:1"]],
  ["the one that answers comes first", ["a:1", "b:1"], ["a:1", "b:1"], "b:1", ["b:1", "a:1"]],
  ["a new master is learnt", ["a:1"], ["a:1", "[::1]:2"], "a:1", ["a:1", "[::1]:2"]],
  ["what only the worker knows stays, last", ["nat:1"], ["a:1", "b:1"], "nat:1", ["nat:1", "a:1", "b:1"]],
  ["what is no address is left out", ["a:1"], ["", "b", "b:0", "b:70000", "c:1"], "a:1", ["a:1", "c:1"]],
])("%s", (_, known, told, answering, merged) => expect(mergeMasters(known, told, answering)).toEqual(merged));

it("keeps sixteen at most", () => {
  const told = Array.from({ length: 40 }, (_, index) => `m${index}:1`);
  expect(mergeMasters(["a:1"], told, "a:1")).toHaveLength(16);
});

it("tries one after the other, and again from the first", () => {
  expect(["a:1", "b:1", "gone:1"].map((address) => masterAfter(["a:1", "b:1"], address))).toEqual(["b:1", "a:1", "a:1"]);
});
