import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DeckySchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { expect, it } from "vitest";
import { formatDecky } from "./decky.ts";

const now = Date.UTC(2026, 0, 1);
const inHours = (hours: number) => timestampFromMs(now + hours * 3_600_000);
const linesOf = (rotation: object) =>
  formatDecky(create(DeckySchema, { ref: { name: "web" }, rotation }), undefined, now)
    .split("\n")
    .filter((line) => /^ {2}rotation|^ {13}/.test(line));
const setting = { every: { seconds: 21_600n }, services: [] };

it.each([
  ["not yet", { nextAt: inHours(3) }, ["  rotation   every 6h among its archetype's services · next in 3h · last never yet"]],
  [
    "and has",
    { setting: { ...setting, services: ["ssh", "ftp"] }, nextAt: inHours(-1), lastAt: inHours(-7) },
    ["  rotation   every 6h among ssh, ftp · next now, when it can be · last 7h ago"],
  ],
  [
    "but not against an operator, and it failed",
    { nextAt: inHours(24), pinned: ["ssh"], barred: ["ftp", "smb"], failures: 2, message: "no image\nfor redis" },
    [
      "  rotation   every 6h among its archetype's services · next in 24h · last never yet",
      "             stays by an operator's wish: ssh",
      "             stays away by an operator's wish: ftp, smb",
      "             failed 2 times: no image for redis",
    ],
  ],
])("a decky rotates %s", (_, rotation, lines) => {
  expect(linesOf({ setting, ...rotation })).toEqual(lines);
});

it("one that does not rotate says nothing of it", () => {
  expect(formatDecky(create(DeckySchema, { ref: { name: "web" } }), undefined, now)).not.toContain("rotation");
});
