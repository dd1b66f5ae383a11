import { overlap } from "@decnet/engine/tables/subnets";
import { describe, expect, it } from "vitest";
import { freeSubnets } from "./allocate.ts";
import { seeded } from "./generate.ts";

/** The same, one /24 after the other. */
function* oneByOne(base: string, used: readonly string[]): Generator<string> {
  const [a, b] = base.split(".");
  for (let third = 0; third < 256; third += 1) {
    const subnet = `${a}.${b}.${third}.0/24`;
    if (!used.some((other) => overlap(subnet, other))) yield subnet;
  }
}

describe("the free networks of a base", () => {
  it.each([
    ["nobody's", []],
    ["around one in the middle", ["10.9.3.0/24"]],
    ["around parts of networks", ["10.9.0.128/25", "10.9.2.7/32", "10.9.255.252/30"]],
    ["around wide ones", ["10.9.16.0/20", "10.9.128.0/17"]],
    ["around ones within others", ["10.9.0.0/18", "10.9.3.0/24", "10.9.64.0/24"]],
    ["beside what is elsewhere", ["10.8.0.0/16", "10.10.0.0/16", "nonsense"]],
    ["none, when all of it is taken", ["10.0.0.0/8"]],
  ])("are found %s", (_, used) => {
    expect([...freeSubnets("10.9.0.0/16", used)]).toEqual([...oneByOne("10.9.0.0/16", used)]);
  });

  it("are the same as when each is tried, whatever is taken (100 drawn sets)", () => {
    const random = seeded(3);
    const below = (most: number) => Math.floor(random() * most);
    for (let round = 0; round < 100; round += 1) {
      const used = Array.from({ length: below(12) }, () => `10.9.${below(256)}.${below(256)}/${18 + below(15)}`);
      expect([...freeSubnets("10.9.0.0/16", used)], used.join()).toEqual([...oneByOne("10.9.0.0/16", used)]);
    }
  });

  it("cost no more when everything is taken: a file may say that it takes all addresses", () => {
    const used = Array.from({ length: 200 }, () => "0.0.0.0/0");
    const startedAt = performance.now();
    for (let round = 0; round < 100; round += 1) expect([...freeSubnets("10.0.0.0/8", used)]).toEqual([]);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
