import { expect, it } from "vitest";
import { expandNames } from "./expand-fleet.ts";

it.each([
  ["web", 0, ["web"]],
  ["web", 2, ["web-01", "web-02"]],
  ["web-[08-11]", 0, ["web-08", "web-09", "web-10", "web-11"]],
  ["web-[3-1]", 0, []],
  ["web-[1-2]", 3, []],
])("%s with a count of %i", (name, count, names) => expect(expandNames(name, count)).toEqual(names));
