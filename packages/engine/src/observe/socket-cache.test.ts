import { expect, it } from "vitest";
import { createHolderSearch } from "./port-holders.ts";
import { ageLimit, createSocketCache, tallyOf } from "./socket-cache.ts";

it("knows nothing of a process that has ended", async () => {
  const place = { pid: 2 ** 30, containers: [] };
  expect(await createSocketCache(new Set()).observe(place, 3_600_000, createHolderSearch())).toBeUndefined();
});

it("counts sockets that are in use, and not what changes all the time", () => {
  const tcp = "TCP: inuse 3 orphan 0 tw 7 alloc 9 mem 300";
  const v4 = `sockets: used 26\n${tcp}\nUDP: inuse 1 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n`;
  expect(tallyOf(v4, "TCP6: inuse 2\nUDP6: inuse 0\n")).toBe("TCP: inuse 3, UDP: inuse 1, TCP6: inuse 2, UDP6: inuse 0");
  expect(tallyOf(undefined, undefined)).toBe("");
});

it("keeps readings longer where there are many: no more than a tenth of the time goes into them", () => {
  expect(ageLimit(6_000, 20, 8)).toBe(6_000);
  expect(ageLimit(6_000, 500, 8)).toBe(40_000);
});
