import { describe, expect, it } from "vitest";
import type { Design, TopologyState } from "../../model/topology.ts";
import { type Edit, editDesign } from "./edit.ts";

const design: Design = {
  lans: [
    { name: "dmz", subnet: "10.0.0.0/24", isDmz: true },
    { name: "inner", subnet: "10.0.1.0/29", isDmz: false },
  ],
  deckies: [
    {
      id: "id-gateway",
      name: "gateway",
      archetype: "",
      services: [],
      forwards: true,
      attachments: [
        { lan: "dmz", ip: "10.0.0.2", mac: "00:50:56:00:00:01" },
        { lan: "inner", ip: "10.0.1.2", mac: "00:50:56:00:00:02" },
      ],
    },
    {
      id: "id-web",
      name: "web",
      archetype: "",
      services: [],
      forwards: false,
      attachments: [{ lan: "inner", ip: "10.0.1.3", mac: "00:50:56:00:00:03" }],
    },
  ],
};

let drawn = 0;
/** Never the same twice. */
const random = () => {
  drawn += 1;
  return (drawn % 10_000) / 10_000;
};

const edit = (what: Edit, state: TopologyState = "pending", from: Design = design): Design =>
  editDesign({ design: from, state }, what, {
    usedSubnets: ["10.0.2.0/24"],
    subnetBase: "10.0.0.0/8",
    makeId: () => "id-new",
    random,
  });

/** One line for each LAN and decky. */
const tell = ({ lans, deckies }: Design) => [
  ...lans.map(({ name, subnet, isDmz }) => `${name} ${subnet}${isDmz ? " dmz" : ""}`),
  ...deckies.map(({ name, attachments }) => `${name}: ${attachments.map(({ lan, ip }) => `${lan} ${ip}`).join(", ")}`),
];
const decky = { kind: "add_decky", name: "db", archetype: "", services: [], forwards: false } as const;

describe("an edit of a design", () => {
  it("adds a LAN, with the next network that nobody has", () => {
    expect(tell(edit({ kind: "add_lan", name: "far", subnet: "", isDmz: false }))).toContain("far 10.0.3.0/24");
  });
  it("adds a decky at the next free address of each LAN", () => {
    const changed = edit({
      ...decky,
      lans: [
        { lan: "inner", ip: "" },
        { lan: "dmz", ip: "10.0.0.77" },
      ],
    });
    expect(tell(changed)).toContain("db: inner 10.0.1.4, dmz 10.0.0.77");
  });
  it("renumbers nobody when a decky goes (W-28)", () => {
    expect(tell(edit({ kind: "remove_decky", name: "gateway" }))).toContain("web: inner 10.0.1.3");
  });
  it("renames a LAN for everybody who is on it", () => {
    const changed = edit({ kind: "update_lan", name: "inner", newName: "core", subnet: undefined, isDmz: undefined });
    expect(tell(changed)).toContain("gateway: dmz 10.0.0.2, core 10.0.1.2");
  });
  it("gives new addresses when a LAN gets another network", () => {
    const changed = edit({ kind: "update_lan", name: "inner", newName: undefined, subnet: "10.9.0.0/24", isDmz: undefined });
    expect(tell(changed)).toEqual(expect.arrayContaining(["gateway: dmz 10.0.0.2, inner 10.9.0.2", "web: inner 10.9.0.3"]));
  });
  it("detaches everybody from a LAN that goes", () => {
    const bare = edit({ kind: "remove_decky", name: "web" });
    expect(tell(edit({ kind: "remove_lan", name: "inner" }, "pending", bare))).toEqual([
      "dmz 10.0.0.0/24 dmz",
      "gateway: dmz 10.0.0.2",
    ]);
  });
  it("attaches and detaches", () => {
    const attached = edit({ kind: "attach_decky", name: "web", place: { lan: "dmz", ip: "" } });
    expect(tell(attached)).toContain("web: inner 10.0.1.3, dmz 10.0.0.3");
    expect(edit({ kind: "detach_decky", name: "web", lan: "dmz" }, "pending", attached)).toEqual(design);
  });

  const refused: readonly (readonly [what: string, edit: Edit, state: TopologyState, message: string])[] = [
    ["a LAN of a name that is taken", { kind: "add_lan", name: "dmz", subnet: "", isDmz: false }, "pending", "a LAN dmz already"],
    [
      "a decky of a name that is taken",
      { ...decky, name: "web", lans: [{ lan: "dmz", ip: "" }] },
      "pending",
      "a decky web already",
    ],
    ["a decky without a home", { ...decky, lans: [] }, "pending", "needs a LAN"],
    ["a LAN that is not there", { ...decky, lans: [{ lan: "far", ip: "" }] }, "pending", 'no LAN "far"'],
    ["a decky that is not there", { kind: "remove_decky", name: "db" }, "pending", 'no decky "db"'],
    ["the removal of somebody's home", { kind: "remove_lan", name: "inner" }, "active", "is the home of web"],
    ["to leave home", { kind: "detach_decky", name: "web", lan: "inner" }, "active", "is the home of web"],
    ["to leave where it is not", { kind: "detach_decky", name: "web", lan: "dmz" }, "active", "is not on dmz"],
    [
      "to be on a LAN twice",
      { kind: "attach_decky", name: "web", place: { lan: "inner", ip: "" } },
      "active",
      "is on inner already",
    ],
    [
      "another network while it is live",
      { kind: "update_lan", name: "inner", newName: undefined, subnet: "10.9.0.0/24", isDmz: undefined },
      "active",
      "the subnet of inner cannot change while the topology is live",
    ],
    [
      "another DMZ while it is live",
      { kind: "update_lan", name: "inner", newName: undefined, subnet: undefined, isDmz: true },
      "degraded",
      "the is_dmz of inner cannot change",
    ],
    [
      "other services while it is live",
      { kind: "update_decky", name: "web", archetype: undefined, services: [], forwards: undefined },
      "active",
      "change its services one by one",
    ],
  ];
  it.each(refused)("is refused for %s", (_, what, state, message) => expect(() => edit(what, state)).toThrow(message));

  it("is refused when the LAN is full", () => {
    const full = ["a", "b", "c"].reduce(
      (from, name) => edit({ ...decky, name, lans: [{ lan: "inner", ip: "" }] }, "pending", from),
      design,
    );
    expect(() => edit({ ...decky, lans: [{ lan: "inner", ip: "" }] }, "pending", full)).toThrow("no free address");
  });
});
