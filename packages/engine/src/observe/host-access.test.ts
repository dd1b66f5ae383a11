import { describe, expect, it } from "vitest";
import { formatPlan, type Step } from "../plan/plan.ts";
import { planHostAccess } from "../plan/plan-host-access.ts";
import type { LanSpec } from "../spec.ts";
import { accessTo, parseLinks } from "./host-access.ts";

const lan: LanSpec = { name: "lan-1", driver: "macvlan", subnet: "10.1.0.0/24", gateway: "10.1.0.1", parent: "eth0" };
const eth0 = {
  ifname: "eth0",
  flags: ["UP"],
  addr_info: [
    { family: "inet", local: "10.1.0.9" },
    { family: "inet6", local: "fe80::1" },
  ],
};
const helper = (more: object = {}) => ({
  ifname: "decnet_macvlan0",
  link: "eth0",
  ifalias: "decnet me lan-1",
  flags: ["UP"],
  linkinfo: { info_kind: "macvlan" },
  addr_info: [{ family: "inet", local: "10.1.0.9" }],
  ...more,
});
const routed = { dst: "10.1.0.20", dev: "decnet_macvlan0" };
const plan = (links: object[], routes: object[] = [], at: LanSpec = lan) => {
  const access = accessTo(at, "me", parseLinks(JSON.stringify(links), JSON.stringify(routes)));
  const steps = planHostAccess(at, "10.1.0.20", access).map((draft, index) => ({ ...draft, number: index + 1 }) as Step);
  return formatPlan({ steps });
};

describe("the host's way to a macvlan LAN", () => {
  it.each([
    [
      "is made when there is none",
      [eth0],
      [],
      [
        "1 create-helper decnet_macvlan0 (the host cannot reach macvlan deckies without one)",
        "2 add-route 10.1.0.20 (the host has no route through decnet_macvlan0)",
      ].join("\n"),
    ],
    ["is as wanted", [eth0, helper()], [routed], "nothing to do"],
    [
      "lacks a route",
      [eth0, helper()],
      [
        { dst: "10.1.0.2", dev: "decnet_macvlan0" },
        { dst: "10.1.0.20", dev: "eth0" },
      ],
      "1 add-route 10.1.0.20 (the host has no route through decnet_macvlan0)",
    ],
    [
      "is down",
      [eth0, helper({ flags: [] })],
      [routed],
      [
        "1 create-helper decnet_macvlan0 (helper is down)",
        "2 add-route 10.1.0.20 (the host has no route through decnet_macvlan0)",
      ].join("\n"),
    ],
    [
      "goes over another interface",
      [eth0, helper({ link: "eth1" })],
      [routed],
      [
        "1 create-helper decnet_macvlan0 (helper is macvlan on eth1)",
        "2 add-route 10.1.0.20 (the host has no route through decnet_macvlan0)",
      ].join("\n"),
    ],
    [
      "is not one of another LAN with a similar name",
      [eth0, helper({ ifalias: "decnet me lan-10" })],
      [routed],
      [
        "1 create-helper decnet_macvlan1 (the host cannot reach macvlan deckies without one)",
        "2 add-route 10.1.0.20 (the host has no route through decnet_macvlan1)",
      ].join("\n"),
    ],
    ["is not there when the host has no address on the LAN", [{ ...eth0, addr_info: [] }], [], "nothing to do"],
  ])("%s", (_, links, routes, text) => expect(plan(links, routes)).toBe(text));

  it("is not needed on a bridge", () => expect(plan([eth0], [], { ...lan, driver: "bridge" })).toBe("nothing to do"));

  it("has a name that fits an interface, also the eleventh", () => {
    const links = Array.from({ length: 10 }, (_, index) =>
      helper({ ifname: `decnet_macvlan${index}`, ifalias: `decnet me ${index}` }),
    );
    expect(plan([eth0, ...links])).toContain("create-helper decnet_macvla10 ");
  });
});
