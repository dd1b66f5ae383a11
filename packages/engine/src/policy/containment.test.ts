import { describe, expect, it } from "vitest";
import { formatPlan, type Step } from "../plan/plan.ts";
import { judgeContainment, type LanEntry, type ObservedRules, readListing, renderContainment } from "./containment.ts";
import { blockUncontained, containmentTroubles, planContainment } from "./plan-containment.ts";

const lan = { name: "lan-1", driver: "bridge", subnet: "10.1.0.0/24", gateway: "10.1.0.1", parent: undefined } as const;
const bridge: LanEntry = { kind: "interface", name: "br-1", isClosed: false };
const ofTopology: LanEntry = { ...bridge, isClosed: true };
const closing = (closed: string[], ...interfaces: string[]): ObservedRules => ({
  ...{ kind: "there", interfaces: new Set(interfaces), closed: new Set(closed), isAsMade: true },
});
const rules = (...interfaces: string[]) => closing([], ...interfaces);
const present = new Set(["lo", "br-1"]);

const see = (entry: LanEntry, observed: ObservedRules, startsBase = false) => {
  const seen = judgeContainment(entry, observed, present);
  const drafts = [...blockUncontained(lan, seen, startsBase), ...planContainment(lan, seen)];
  const steps = drafts.map((draft, index) => ({ ...draft, number: index + 1 }) as Step);
  return { plan: formatPlan({ steps }), said: containmentTroubles(new Map([[lan.name, seen]])) };
};

describe("the deckies of a LAN", () => {
  it.each<[string, LanEntry, ObservedRules]>([
    ["by the rule for its interface", bridge, rules("br-0", "br-1")],
    ["by the rules for its interface, which is closed to others", ofTopology, closing(["br-1"], "br-1")],
    ["where the host has no place on it", { kind: "none" }, { kind: "absent" }],
  ])("are kept from the ports of the host %s", (_, entry, observed) => {
    expect(see(entry, observed)).toEqual({ plan: "nothing to do", said: [] });
  });

  it.each<[string, LanEntry, ObservedRules, string]>([
    ["there are no rules", bridge, { kind: "absent" }, "nothing keeps deckies from the ports of this host"],
    ["none is for it", bridge, rules("br-2"), "no rule keeps the deckies of this LAN from the ports of this host"],
    [
      "somebody changed them",
      bridge,
      { kind: "there", interfaces: new Set(["br-1"]), closed: new Set(), isAsMade: false },
      "the rules that keep deckies from the ports of this host were changed",
    ],
    [
      "it is a topology's and not closed to others",
      ofTopology,
      closing(["br-2"], "br-1", "br-2"),
      "no rule keeps machines outside from the deckies of this LAN",
    ],
    [
      "it is still to be made",
      { kind: "missing" },
      rules("br-2"),
      "no rule keeps the deckies of this LAN from the ports of this host",
    ],
  ])("get a rule when %s", (_, entry, observed, cause) => {
    expect(see(entry, observed)).toEqual({ plan: `1 contain lan-1 (${cause})`, said: [`not contained: ${cause}`] });
  });

  it.each<[string, LanEntry, ObservedRules, RegExp]>([
    ["cannot have rules", bridge, { kind: "unable", why: "nft is not on this host" }, /^nft is not on this host$/],
    [
      "has them elsewhere than its engine",
      { kind: "interface", name: "br-9", isClosed: false },
      rules("br-9"),
      /^the engine's interface br-9 is in another/,
    ],
    ["may not touch its network", { kind: "foreign", why: "the network is theirs" }, rules(), /^the network is theirs$/],
  ])("are not started, and said to be uncontained when they run, where the host %s", (_, entry, observed, why) => {
    const seen = see(entry, observed);
    expect(seen.plan).toBe("nothing to do");
    expect(seen.said.join().replace(/^not contained: /, "")).toMatch(why);
    expect(see(entry, observed, true).plan).toBe(`1 blocked lan-1 (${seen.said.join().replace(/^not contained: /, "")})`);
  });
});

describe("the table", () => {
  const open = (name: string) => ({ name, isClosed: false });
  const closed = (name: string) => ({ name, isClosed: true });

  it("is replaced as a whole, in one transaction, whatever was there", () => {
    const [clear, table] = renderContainment("i-1", ["br-2", "br-1", "br-2"].map(open)).split(" {\n  set lans");
    expect(clear).toBe("table inet decnet-i-1\ndelete table inet decnet-i-1\ntable inet decnet-i-1");
    expect(table).toContain('elements = { "br-1", "br-2" }\n');
  });

  it("goes with the last interface, and has a name that nftables takes", () => {
    expect(renderContainment("a b;c\n", [])).toBe("table inet decnet-a_b_c_\ndelete table inet decnet-a_b_c_\n");
  });

  it("closes the LANs of topologies, and no others", () => {
    const read = (...lans: { name: string; isClosed: boolean }[]) =>
      readListing(renderContainment("i", lans).split("\n").slice(2).join("\n"));
    const { rules: made, ...sets } = read(open("br-1"), closed("br-3"), closed("br-2"));
    expect(sets).toEqual({ interfaces: new Set(["br-1", "br-2", "br-3"]), closed: new Set(["br-2", "br-3"]) });
    expect(read(open("br-1"))).toEqual({ interfaces: new Set(["br-1"]), closed: new Set(), rules: made });
  });

  it.each<[string, (listing: string) => string]>([
    [
      "nothing is forwarded to it by that rule",
      (listing) => listing.replace('elements = { "br-1" }\n\t}\n\tset inside', "}\n\tset inside"),
    ],
    ["another interface leads there, too", (listing) => listing.replace('"br-1" . "br-1"', '"br-1" . "br-1", "eth0" . "br-1"')],
    ["its own deckies do not reach each other", (listing) => listing.replace('"br-1" . "br-1"', '"br-2" . "br-2"')],
  ])("does not close a LAN when %s", (_, harm) => {
    const listing = `table inet decnet-i {
\tset lans {
\t\ttype ifname
\t\telements = { "br-1" }
\t}
\tset closed {
\t\ttype ifname
\t\telements = { "br-1" }
\t}
\tset inside {
\t\ttype ifname . ifname
\t\telements = { "br-1" . "br-1" }
\t}
}`;
    expect([...readListing(listing).closed]).toEqual(["br-1"]);
    expect([...readListing(harm(listing)).closed]).toEqual([]);
  });

  it("is the same in two listings that differ in counts and interfaces alone", () => {
    const listing = (elements: string, counter: string, more = "") => `table inet decnet-i {
\tset lans {
\t\ttype ifname
\t\telements = { ${elements} }
\t}
\tchain contained {${more}
\t\tmeta l4proto tcp ${counter} reject with tcp reset
\t}
}`;
    const first = readListing(listing('"br-1"', "counter"));
    const second = readListing(listing('"br-1",\n\t\t\t     "br-2"', "counter packets 7 bytes 420"));
    expect(second.rules).toBe(first.rules);
    expect([...second.interfaces]).toEqual(["br-1", "br-2"]);
    expect(readListing(listing('"br-1"', "counter", "\n\t\taccept")).rules).not.toBe(first.rules);
  });
});
