import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { dateOf, isInTime } from "./foreign-time.ts";

const at = (seconds: bigint, nanos = 0) => create(TimestampSchema, { seconds, nanos });

test("a time from 1970 to 9999 is taken as it is", () => {
  expect(dateOf(at(1_700_000_000n, 5e6)).toISOString()).toBe("2023-11-14T22:13:20.005Z");
  expect(isInTime(at(253_402_300_799n))).toBe(true);
});

test.each([at(-1n), at(253_402_300_800n), at(2n ** 63n - 1n), at(0n, -1), at(0n, 1e9)])(
  "%o is no time, and read as now",
  (wrong) => {
    expect(isInTime(wrong)).toBe(false);
    expect(Math.abs(dateOf(wrong).getTime() - Date.now())).toBeLessThan(60_000);
  },
);
