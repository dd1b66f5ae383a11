import { describe, expect, it } from "vitest";
import {
  belongingsOf,
  type DataPlace,
  findOrphans,
  type Marked,
  markedLink,
  markedRules,
  markedTables,
  orphansOfOther,
  otherInstallations,
} from "./leftovers.ts";

const ours = "11111111-2222-3333-4444-555555555555";
const theirs = "99999999-2222-3333-4444-555555555555";
const lan = { name: "lan", driver: "bridge", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined } as const;
const at = (name: string) => [{ lan: { ...lan, name }, ip: "10.0.0.2", mac: "" }] as const;
const here = belongingsOf([
  { scope: "fleet", name: "web", attachments: at("lan") },
  { scope: "t0123456789ab", name: "inner", attachments: at("decnet-t0123456789ab-core") },
]);
const thing = (more: Partial<Marked>): Marked => ({
  kind: "container",
  id: "4f1c",
  name: "x",
  installation: ours,
  decky: "",
  ...more,
});

describe("what carries our mark", () => {
  it.each<[string, Partial<Marked>, string]>([
    ["a container of a decky that is here", { decky: "fleet/web" }, ""],
    ["a container of a decky of a topology", { decky: "t0123456789ab/inner" }, ""],
    ["one of the same name in another topology", { decky: "tffffffffffff/inner" }, "was made for tffffffffffff/inner"],
    ["one of a decky that is gone, whatever it is called", { decky: "fleet/db", name: "web" }, "was made for db"],
    ["one that does not say whose it is", {}, "does not say for which decky"],
    ["a network that a decky is on", { kind: "network", lan: "lan" }, ""],
    ["a network of nobody", { kind: "network", lan: "lan-2" }, "no decky of this host is on"],
    ["a volume of a decky that is gone", { kind: "volume", decky: "fleet/db" }, "was made for db"],
    ["a table of all deckies", { kind: "rules" }, ""],
    ["a published port of a decky that is gone", { kind: "rules", decky: "fleet/db" }, "was made for db"],
    ["the way to a network of nobody", { kind: "link", lan: "lan-2" }, "no decky of this host is on"],
    ["the project of a decky of a topology", { kind: "project", name: "t0123456789ab-inner" }, ""],
    ["a project of nobody", { kind: "project", name: "db" }, "holds the files of a decky that is not on this host"],
    ["anything of another installation", { installation: theirs, decky: "fleet/db" }, ""],
  ])("%s", (_, more, reason) => {
    const [found] = findOrphans([thing(more)], here, ours);
    expect(found?.reason ?? "").toContain(reason);
    expect(found === undefined).toBe(reason === "");
  });

  it("of all deckies goes when there are none", () => {
    const nobody = belongingsOf([]);
    expect(findOrphans([thing({ kind: "rules" })], nobody, ours)[0]?.reason).toContain("there are none on this host");
  });

  it("goes before what it uses", () => {
    const all = [
      thing({ kind: "project", name: "db" }),
      thing({ kind: "volume", decky: "fleet/db" }),
      thing({ kind: "network", lan: "lan-2" }),
      thing({ name: "b" }),
      thing({ name: "a" }),
    ];
    const order = findOrphans(all, here, ours).map(({ kind, name }) => `${kind} ${name}`);
    expect(order).toEqual(["container a", "container b", "network x", "volume x", "project db"]);
  });
});

describe("another installation", () => {
  const things = [thing({ installation: theirs }), thing({ installation: theirs, kind: "network", lan: "lan" })];
  it.each<readonly [string, ReadonlyMap<string, DataPlace>, boolean, string]>([
    ["of which nothing is known", new Map(), false, "of which no data is known on this host"],
    ["whose data is gone", new Map([["/a", "gone"]]), false, "whose data is not on this host any more: it was in /a"],
    [
      "whose data is here",
      new Map([
        ["/a", "gone"],
        ["/b", "there"],
      ]),
      true,
      "whose data is in /b",
    ],
    ["that this one has taken the place of", new Map([["/a", "ours"]]), false, "which had /a before this one"],
  ])("%s", (_, folders, isKept, standing) => {
    const others = otherInstallations([thing({}), ...things], ours, new Map([[theirs, folders]]));
    expect(others).toEqual([{ installation: theirs, count: 2, standing, isKept }]);
    const [other] = others;
    if (other !== undefined) expect(orphansOfOther([thing({}), ...things], other)).toHaveLength(2);
  });
});

describe("what is read from the host", () => {
  it("are tables whose names end with an installation, and no others", () => {
    const listing = [`table inet decnet-${ours}`, `table ip decnet-published-${theirs}`, "table ip nat", "table ip decnet-x"];
    expect(markedTables(listing.join("\n")).map(({ id, installation }) => [id, installation])).toEqual([
      [`inet decnet-${ours}`, ours],
      [`ip decnet-published-${theirs}`, theirs],
    ]);
  });

  it("are rules with an installation in their comment, once for each", () => {
    const rule = (comment: string) => `-A DOCKER-USER -d 192.0.2.1 -m comment --comment ${comment} -j ACCEPT`;
    const listing = [
      "-N DOCKER-USER",
      rule(`decnet-${ours}`),
      rule(`decnet-${ours}`),
      rule('"mine"'),
      rule(`"decnet-${theirs}"`),
    ];
    expect(markedRules("DOCKER-USER", listing.join("\n")).map(({ installation }) => installation)).toEqual([ours, theirs]);
  });

  it("are interfaces whose alias says whose they are", () => {
    expect(markedLink({ name: "decnet_macvlan0", owner: `decnet ${ours} lan` })).toMatchObject([
      { installation: ours, lan: "lan" },
    ]);
    expect(markedLink({ name: "eth0", owner: "decnet of somebody else, it says" })).toEqual([]);
  });
});
