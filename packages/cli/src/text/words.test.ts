import { expect, it } from "vitest";
import { formatTook, parseDuration } from "./duration.ts";

it("reads and writes durations", () => {
  expect(["500ms", "30", "30s", "10m", "1h", "soon"].map(parseDuration)).toEqual([
    500,
    30_000,
    30_000,
    600_000,
    3_600_000,
    undefined,
  ]);
  expect([0, 2_340, 59_949, 64_000].map(formatTook)).toEqual(["0.0s", "2.3s", "59.9s", "1m04s"]);
});
