import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { formatLineNote, parseLineNote } from "./line-note.ts";

it("reads what it writes", () => {
  for (const msAgo of [0, 1, 3_000, 0xffff_ffff])
    expect(parseLineNote(formatLineNote({ kind: "checked", msAgo }))).toEqual({ kind: "checked", msAgo });
  expect(parseLineNote(formatLineNote({ kind: "report-now" }))).toEqual({ kind: "report-now" });
});

it("writes no time that it cannot hold", () => {
  expect(parseLineNote(formatLineNote({ kind: "checked", msAgo: 1e12 }))).toEqual({ kind: "checked", msAgo: 0xffff_ffff });
  expect(parseLineNote(formatLineNote({ kind: "checked", msAgo: -1 }))).toEqual({ kind: "checked", msAgo: 0 });
});

it("reads nothing in other pings", () => {
  const unknown = formatLineNote({ kind: "report-now" });
  unknown[3] = 9;
  for (const bytes of [unknown, Buffer.alloc(8), Buffer.alloc(0), Buffer.from("dkn"), randomBytes(9)])
    expect(parseLineNote(bytes)).toBeUndefined();
});
