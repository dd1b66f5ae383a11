import { describe, expect, it } from "vitest";
import type { Design, TopologyDecky } from "../../model/topology.ts";
import { type IssueCode, isDeployable, issueCodes, validateDesign } from "./validate.ts";

const catalog = {
  services: new Map(
    [
      { slug: "ssh", singleton: false, ports: [{ number: 22, protocol: "tcp" as const }] },
      { slug: "other-ssh", singleton: false, ports: [{ number: 22, protocol: "tcp" as const }] },
      { slug: "http", singleton: false, ports: [{ number: 80, protocol: "tcp" as const }] },
      { slug: "prober", singleton: true, ports: [] },
    ].map((entry) => [entry.slug, { ...entry, fields: [{ key: "banner", secret: false }] }]),
  ),
};

const decky = (name: string, more: Partial<TopologyDecky> = {}): TopologyDecky => ({
  id: `id-${name}`,
  name,
  archetype: "",
  services: [{ slug: "ssh", config: {} }],
  attachments: [{ lan: "dmz", ip: "10.0.0.2", mac: "00:50:56:00:00:01" }],
  forwards: false,
  ...more,
});

/** Two LANs and a decky between them. */
const good: Design = {
  lans: [
    { name: "dmz", subnet: "10.0.0.0/24", isDmz: true },
    { name: "inner", subnet: "10.0.1.0/24", isDmz: false },
  ],
  deckies: [
    decky("gateway", {
      forwards: true,
      attachments: [
        { lan: "dmz", ip: "10.0.0.2", mac: "00:50:56:00:00:01" },
        { lan: "inner", ip: "10.0.1.2", mac: "00:50:56:00:00:02" },
      ],
    }),
    decky("web", { attachments: [{ lan: "inner", ip: "10.0.1.3", mac: "00:50:56:00:00:03" }] }),
  ],
};

const lans = (...more: Design["lans"]) => ({ ...good, lans: more });
const withDecky = (more: TopologyDecky) => ({ ...good, deckies: [...good.deckies, more] });
const at = (lan: string, ip: string, mac = "00:50:56:00:00:09") => ({ attachments: [{ lan, ip, mac }] });

const cases: readonly (readonly [what: string, design: Design, code: IssueCode, target: string])[] = [
  ["no DMZ", { ...good, lans: good.lans.map((lan) => ({ ...lan, isDmz: false })) }, "DMZ_MISSING", "topology"],
  ["two DMZs", { ...good, lans: good.lans.map((lan) => ({ ...lan, isDmz: true })) }, "DMZ_MULTIPLE", "lan inner"],
  [
    "a LAN that nothing leads to",
    { ...good, lans: [...good.lans, { name: "far", subnet: "10.0.2.0/24", isDmz: false }] },
    "DMZ_ORPHAN",
    "lan far",
  ],
  ["a decky on no LAN", withDecky(decky("lost", { attachments: [] })), "DECKY_ORPHAN", "decky lost"],
  [
    "two LANs of one name",
    lans(...good.lans, { name: "inner", subnet: "10.0.2.0/24", isDmz: false }),
    "LAN_NAME_DUP",
    "lan inner",
  ],
  ["two deckies of one name", withDecky(decky("web", at("inner", "10.0.1.4"))), "DECKY_NAME_DUP", "decky web"],
  ["a LAN that is not there", withDecky(decky("a", at("nowhere", "10.0.9.2"))), "IP_UNKNOWN_LAN", "decky a"],
  ["an address of another network", withDecky(decky("a", at("inner", "10.0.2.2"))), "IP_OUT_OF_SUBNET", "decky a"],
  ["the gateway's address", withDecky(decky("a", at("inner", "10.0.1.1"))), "IP_OUT_OF_SUBNET", "decky a"],
  ["the network's own address", withDecky(decky("a", at("inner", "10.0.1.0"))), "IP_OUT_OF_SUBNET", "decky a"],
  ["an address of everybody", withDecky(decky("a", at("inner", "10.0.1.255"))), "IP_OUT_OF_SUBNET", "decky a"],
  ["no address", withDecky(decky("a", at("inner", "10.0.1"))), "IP_MALFORMED", "decky a"],
  ["a network for an address", withDecky(decky("a", at("inner", "10.0.1.8/30"))), "IP_MALFORMED", "decky a"],
  ["an address twice", withDecky(decky("a", at("inner", "10.0.1.3"))), "IP_COLLISION", "decky a"],
  ["a MAC address twice", withDecky(decky("a", at("inner", "10.0.1.4", "00:50:56:00:00:03"))), "MAC_COLLISION", "decky a"],
  [
    "no subnet",
    lans(good.lans[0] as Design["lans"][0], { name: "inner", subnet: "inner", isDmz: false }),
    "SUBNET_MALFORMED",
    "lan inner",
  ],
  [
    "a subnet of loopback",
    lans(good.lans[0] as Design["lans"][0], { name: "inner", subnet: "127.0.1.0/24", isDmz: false }),
    "SUBNET_MALFORMED",
    "lan inner",
  ],
  [
    "a subnet with host bits",
    lans(good.lans[0] as Design["lans"][0], { name: "inner", subnet: "10.0.1.1/24", isDmz: false }),
    "SUBNET_MALFORMED",
    "lan inner",
  ],
  [
    "subnets that overlap",
    lans(good.lans[0] as Design["lans"][0], { name: "inner", subnet: "10.0.0.0/16", isDmz: false }),
    "SUBNET_OVERLAP",
    "lan inner",
  ],
  [
    "a service that nobody knows",
    withDecky(decky("a", { ...at("inner", "10.0.1.4"), services: [{ slug: "gopher", config: {} }] })),
    "UNKNOWN_SERVICE",
    "decky a",
  ],
  [
    "a service that runs once per host",
    withDecky(decky("a", { ...at("inner", "10.0.1.4"), services: [{ slug: "prober", config: {} }] })),
    "UNKNOWN_SERVICE",
    "decky a",
  ],
  [
    "a setting that its service does not have",
    withDecky(decky("a", { ...at("inner", "10.0.1.4"), services: [{ slug: "http", config: { colour: "red" } }] })),
    "SERVICE_CFG_UNDECLARED",
    "decky a",
  ],
  [
    "a gateway apart from everything",
    withDecky(decky("a", { ...at("inner", "10.0.1.4"), forwards: true })),
    "GATEWAY_NOT_IN_DMZ",
    "decky a",
  ],
  [
    "two services with one port",
    withDecky(
      decky("a", {
        ...at("inner", "10.0.1.4"),
        services: [
          { slug: "ssh", config: {} },
          { slug: "other-ssh", config: {} },
        ],
      }),
    ),
    "PORT_COLLISION",
    "decky a",
  ],
];

describe("a design", () => {
  it("without a fault has no issue", () => expect(validateDesign(good, { catalog, takenSubnets: [] })).toEqual([]));

  it.each(cases)("with %s is told so", (_, design, code, target) => {
    const found = validateDesign(design, { catalog, takenSubnets: [] });
    expect(found.map((issue) => `${issue.code} ${issue.target}`)).toContain(`${code} ${target}`);
    for (const { next, message } of found) expect([next, message]).not.toContain("");
    expect(isDeployable(found)).toBe(false);
  });

  it("is told every code that there is", () => {
    expect(new Set(cases.map(([, , code]) => code))).toEqual(new Set(issueCodes));
  });

  /** As in the table of the system that this one takes the place of; MAC_COLLISION and PORT_COLLISION within a decky are ours. */
  it("has no other codes than these", () => {
    expect([...issueCodes].sort()).toMatchInlineSnapshot(`
      [
        "DECKY_NAME_DUP",
        "DECKY_ORPHAN",
        "DMZ_MISSING",
        "DMZ_MULTIPLE",
        "DMZ_ORPHAN",
        "GATEWAY_NOT_IN_DMZ",
        "IP_COLLISION",
        "IP_MALFORMED",
        "IP_OUT_OF_SUBNET",
        "IP_UNKNOWN_LAN",
        "LAN_NAME_DUP",
        "MAC_COLLISION",
        "PORT_COLLISION",
        "SERVICE_CFG_UNDECLARED",
        "SUBNET_MALFORMED",
        "SUBNET_OVERLAP",
        "UNKNOWN_SERVICE",
      ]
    `);
  });

  it("may not have a network that somebody else has, who is named", () => {
    const takenSubnets = [{ subnet: "10.0.1.0/25", holder: "the fleet's LAN" }];
    expect(validateDesign(good, { catalog, takenSubnets })[0]?.message).toBe(
      "10.0.1.0/24 overlaps 10.0.1.0/25 of the fleet's LAN",
    );
  });
});
