import { expect, it } from "vitest";
import { moveTo } from "./move.ts";

it.each([
  ["the first move leaves its host", "a", [], "b", true, ["a"]],
  ["a second move leaves both", "b", ["a"], "c", true, ["a", "b"]],
  ["the way back leaves the new host alone", "b", ["a"], "a", true, ["b"]],
  ["a host that was never told is not left", "b", ["a"], "c", false, ["a"]],
  ["a host is left once", "b", ["b", "a"], "c", true, ["a", "b"]],
])("%s", (_name, host, pendingRemovals, to, isTold, left) => {
  expect(moveTo({ host, pendingRemovals }, to, isTold)).toEqual({ host: to, pendingRemovals: left, renderedRevision: 0 });
});
