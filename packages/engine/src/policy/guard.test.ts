import { describe, expect, it } from "vitest";
import type { DeckySpec, LanSpec } from "../spec.ts";
import { differRoutes, type GuardNotes, guardOf, judgeGuard, parseRoutes, readGuard, type SeenGuard } from "./guard.ts";

const lan = (name: string, subnet: string, more: Partial<LanSpec> = {}): LanSpec => ({
  name,
  driver: "bridge",
  subnet,
  gateway: subnet.replace(/0\/\d+$/, "1"),
  parent: undefined,
  ...more,
});
const spec = (more: Partial<DeckySpec> = {}): DeckySpec => ({
  scope: "fleet",
  name: "web",
  revision: 1,
  hostname: "h",
  baseImage: "base",
  buildBase: "base",
  osFamily: "linux",
  attachments: [{ lan: lan("lan", "10.0.0.0/24"), ip: "10.0.0.7", mac: "" }],
  forwards: false,
  services: [{ slug: "http", config: {} }],
  ...more,
});
const context = { egressOf: () => [], isShared: () => false };
const rulesOf = (of: DeckySpec, around: Partial<Parameters<typeof guardOf>[1]> = {}) => {
  const lines = guardOf(of, { ...context, ...around }).rules.split("\n");
  return lines.map((line) => line.trim()).filter((line) => /accept|policy|counter/.test(line));
};

describe("what a decky may reach", () => {
  it("is itself, who asked it for something, and its neighbours; nothing passes through it", () => {
    expect(rulesOf(spec())).toEqual([
      "type filter hook output priority 0; policy drop;",
      'oifname "lo" accept',
      "ct state established,related accept",
      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
      "ip daddr { 10.0.0.0/24 } accept",
      "ip6 daddr fe80::/10 accept",
      'counter comment "denied"',
      "type filter hook forward priority 0; policy drop;",
      'counter comment "denied"',
    ]);
  });

  it("is nobody on a network where others have machines, too", () => {
    const rules = rulesOf(spec(), { isShared: () => true });
    expect(rules.filter((line) => line.includes("daddr"))).toEqual([]);
  });

  it("is also what its services need, and what it was allowed itself, each by name", () => {
    const egress = [{ cidr: "192.0.2.1/32", protocol: "tcp", port: 443 } as const, { cidr: "198.51.100.0/24" }];
    const egressOf = (slug: string) => (slug === "http" ? [{ cidr: "192.0.2.53/32", protocol: "udp" } as const] : []);
    expect(rulesOf(spec({ egress }), { egressOf }).filter((line) => line.includes("comment") && line.includes("accept"))).toEqual(
      [
        'ip daddr 192.0.2.53/32 meta l4proto udp accept comment "allowed to http"',
        'ip daddr 192.0.2.1/32 tcp dport 443 accept comment "allowed to this decky"',
        'ip daddr 198.51.100.0/24 accept comment "allowed to this decky"',
      ],
    );
  });

  it("is what its topology leads to; one that forwards passes that on, and nothing from or to anywhere else", () => {
    const attachments = [
      { lan: lan("dmz", "10.0.0.0/24"), ip: "10.0.0.2", mac: "" },
      { lan: lan("office", "10.0.1.0/24", { internal: true }), ip: "10.0.1.2", mac: "" },
    ] as const;
    const of = spec({ scope: "t1", attachments, forwards: true, routes: [{ to: "10.0.2.0/24", via: "10.0.1.3" }] });
    const reached = "{ 10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24 }";
    expect(rulesOf(of)).toContain(`ip daddr ${reached} accept`);
    expect(rulesOf(of).at(-2)).toBe(`ip saddr ${reached} ip daddr ${reached} accept`);
    expect(rulesOf({ ...of, forwards: false }).join("\n")).not.toContain("saddr");
    expect(guardOf(of, context).routes).toEqual([
      { to: "10.0.2.0/24", via: "10.0.1.3" },
      { to: "0.0.0.0/0", via: "10.0.0.1" },
    ]);
  });
});

describe("a guard", () => {
  const wanted = guardOf(spec({ scope: "t1", routes: [{ to: "10.0.2.0/24", via: "10.0.0.3" }] }), context);
  const notes: GuardNotes = {
    listedAs: (rules) => (rules === wanted.rules ? "as made" : undefined),
    isKnown: (listing) => ["as made", "for another wish"].includes(listing),
  };
  const well: SeenGuard = { rules: "as made", denied: 0, routes: wanted.routes, forwards: false };

  it.each<[string, Partial<SeenGuard>, string]>([
    ["as it was made", {}, ""],
    ["gone", { rules: undefined }, "nothing keeps it from calling out"],
    ["changed by somebody", { rules: "another" }, "the rules about what it may reach were changed"],
    ["one for what was wanted before", { rules: "for another wish" }, "it is to reach something else"],
    ["without its routes", { routes: [] }, "no route to 10.0.2.0/24 via 10.0.0.3, 0.0.0.0/0 via 10.0.0.1"],
    [
      "with a route of somebody's",
      { routes: [...wanted.routes, { to: "192.0.2.0/24", via: "10.0.0.9" }] },
      "a route that is not its own to 192.0.2.0/24 via 10.0.0.9",
    ],
    ["forwarding", { forwards: true }, "it forwards, and should not"],
  ])("that is %s", (_, seen, flaw) => {
    expect(judgeGuard(wanted, { ...well, ...seen }, notes)).toBe(flaw);
  });

  it("is the same whatever it has counted", () => {
    const listing = (packets: number) => `chain output {\n counter packets ${packets} bytes 60 comment "denied"\n}`;
    expect(readGuard(listing(1)).rules).toBe(readGuard(listing(7)).rules);
    expect(readGuard(`${listing(3)}${listing(4)}`).denied).toBe(7);
  });
});

describe("routes", () => {
  const table = [
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0",
    "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
    "eth0\t0002000A\t0300000A\t0003\t0\t0\t0\t00FEFFFF\t0\t0\t0",
    "",
  ].join("\n");

  it("are read from the kernel's table, but for those of the LANs themselves", () => {
    expect(parseRoutes(table)).toEqual([
      { to: "0.0.0.0/0", via: "10.0.0.1" },
      { to: "10.0.2.0/23", via: "10.0.0.3" },
    ]);
  });

  it("that lead to the right network by the wrong neighbour are replaced, not removed", () => {
    const to = "10.0.2.0/24";
    expect(differRoutes({ routes: [{ to, via: "10.0.0.3" }], keepsDefault: false }, [{ to, via: "10.0.0.9" }])).toEqual({
      missing: [{ to, via: "10.0.0.3" }],
      surplus: [],
    });
  });

  it("to everywhere are the engine's own in the fleet, and nobody's in a topology", () => {
    const seen = [{ to: "0.0.0.0/0", via: "10.0.0.1" }];
    expect(differRoutes({ routes: [], keepsDefault: true }, seen).surplus).toEqual([]);
    expect(differRoutes({ routes: [], keepsDefault: false }, seen).surplus).toEqual(seen);
  });
});
