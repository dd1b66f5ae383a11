import { describe, expect, it } from "vitest";
import { hardLimitsOf, least } from "./hard-limits.ts";

const limits = [
  "Limit                     Soft Limit           Hard Limit           Units     ",
  "Max cpu time              unlimited            unlimited            seconds   ",
  "Max processes             96365                96365                processes ",
  "Max open files            1024                 20000                files     ",
  "Max nice priority         0                    0                    ",
].join("\n");
const status = (capabilities: string) => `Name:\tdockerd\nCapPrm:\t000001ffffffffff\nCapEff:\t${capabilities}\nSeccomp:\t0\n`;

describe("what an engine can give to a process", () => {
  it("has no bound where it may raise limits", () => {
    expect(hardLimitsOf(limits, status("000001ffffffffff"))).toEqual({});
  });

  it("is what it has itself where it may not", () => {
    expect(hardLimitsOf(limits, status("000001fffeffffff"))).toEqual({ nproc: 96_365, nofile: 20_000, nice: 0 });
  });

  it("is the least of what any of several can give", () => {
    expect(least([{ nproc: 5, nofile: 7 }, {}, { nproc: 3 }])).toEqual({ nproc: 3, nofile: 7 });
  });
});
