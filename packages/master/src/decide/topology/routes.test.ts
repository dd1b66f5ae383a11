import { describe, expect, it } from "vitest";
import type { Design, TopologyDecky } from "../../model/topology.ts";
import { createRouting } from "./routes.ts";

const lan = (number: number) => ({ name: `lan-${number}`, subnet: `10.0.${number}.0/24`, isDmz: number === 0 });
const decky = (name: string, lans: number[], forwards = false): TopologyDecky => ({
  id: name,
  name,
  archetype: "",
  services: [],
  attachments: lans.map((number) => ({ lan: `lan-${number}`, ip: `10.0.${number}.${name.charCodeAt(0)}`, mac: "" })),
  forwards,
});
const design = (...deckies: TopologyDecky[]): Design => ({ lans: [0, 1, 2, 3].map(lan), deckies });
const routes = (of: Design, name: string) => {
  const wanted = of.deckies.find((each) => each.name === name) ?? expect.fail(name);
  return createRouting(of)
    .routesOf(wanted)
    .map(({ to, via }) => `${to} via ${via}`);
};

describe("the ways of a decky", () => {
  it("lead over the neighbour that forwards, in both directions", () => {
    const of = design(decky("a", [0]), decky("g", [0, 1], true), decky("x", [1]));
    expect(routes(of, "a")).toEqual(["10.0.1.0/24 via 10.0.0.103"]);
    expect(routes(of, "x")).toEqual(["10.0.0.0/24 via 10.0.1.103"]);
    expect(routes(of, "g")).toEqual([]);
  });

  it("do not lead over one that does not forward", () => {
    const of = design(decky("a", [0]), decky("g", [0, 1]), decky("x", [1]));
    expect([routes(of, "a"), routes(of, "x"), routes(of, "g")]).toEqual([[], [], []]);
  });

  it("lead on over several, each told of the next neighbour only", () => {
    const of = design(decky("a", [0]), decky("g", [0, 1], true), decky("h", [1, 2], true), decky("x", [2]));
    expect(routes(of, "a")).toEqual(["10.0.1.0/24 via 10.0.0.103", "10.0.2.0/24 via 10.0.0.103"]);
    expect(routes(of, "g")).toEqual(["10.0.2.0/24 via 10.0.1.104"]);
    expect(routes(of, "x")).toEqual(["10.0.0.0/23 via 10.0.2.104"]);
  });

  it("are the shortest, and the same each time where two are equally short", () => {
    const of = design(decky("a", [0]), decky("h", [0, 1], true), decky("g", [0, 1], true), decky("k", [0, 2], true));
    expect(routes(of, "a")).toEqual(["10.0.1.0/24 via 10.0.0.104", "10.0.2.0/24 via 10.0.0.107"]);
    expect(routes(of, "k")).toEqual(["10.0.1.0/24 via 10.0.0.104"]);
  });

  it("to networks side by side are one, as long as it covers nothing else", () => {
    const of = design(decky("a", [0]), decky("g", [0, 1, 2, 3], true));
    expect(routes(of, "a")).toEqual(["10.0.1.0/24 via 10.0.0.103", "10.0.2.0/23 via 10.0.0.103"]);
  });

  it("are found in a moment where everybody forwards between many LANs", () => {
    const lans = Array.from({ length: 200 }, (_, number) => lan(number));
    const deckies = Array.from({ length: 2_000 }, (_, number) => {
      const own = new Set(Array.from({ length: 10 }, (__, index) => (number * 31 + index * index * 7 + index * number) % 200));
      return decky(`f${number}`, [...own], true);
    });
    const begun = process.cpuUsage();
    const routing = createRouting({ lans, deckies });
    for (const each of deckies) routing.routesOf(each);
    expect(process.cpuUsage(begun).user).toBeLessThan(1_000_000);
  }, 30_000);

  it("are found in a moment where there are 200 LANs and 2,000 deckies", () => {
    const lans = Array.from({ length: 200 }, (_, number) => lan(number));
    const deckies = Array.from({ length: 2_000 }, (_, number) =>
      number < 199 ? decky(`f${number}`, [Math.floor(number / 2), number + 1], true) : decky(`d${number}`, [number % 200]),
    );
    const begun = process.cpuUsage();
    const routing = createRouting({ lans, deckies });
    const all = deckies.map((each) => routing.routesOf(each).length);
    expect(process.cpuUsage(begun).user).toBeLessThan(1_000_000);
    expect(Math.max(...all)).toBeLessThan(200);
  }, 30_000);
});
