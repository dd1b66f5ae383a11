/**
 * What keeps deckies from the ports of the host that they run on, and machines outside from the addresses in topologies: one
 * table of nftables in the host's network namespace, for all LANs of one installation. Pure.
 */

/** By the interface where its frames come to the host. */
export interface LanInterface {
  readonly name: string;
  /** Nobody gets there through the host but by a published port: a bridge of a topology. */
  readonly isClosed: boolean;
}

/** The table as a host has it. */
export type ObservedRules =
  /** This host, or this process, cannot have such a table; `why` says what to do about it. */
  | { readonly kind: "unable"; readonly why: string }
  | { readonly kind: "absent" }
  /** `isAsMade`: everything but the interfaces is as it was when it was put there. */
  | {
      readonly kind: "there";
      readonly interfaces: ReadonlySet<string>;
      /** Those that nobody gets to from any other interface. */
      readonly closed: ReadonlySet<string>;
      readonly isAsMade: boolean;
    };

/** Of one LAN. */
export interface ObservedContainment {
  /** Why its deckies reach the ports of the host, or others its deckies, and a new rule helps; empty when they do not. */
  readonly flaw: string;
  /** Why nothing that is done here helps; empty when something does. */
  readonly unable: string;
}

/** Where the frames of a LAN come to the host. */
export type LanEntry =
  /** Nowhere: the host has no interface on it. */
  | { readonly kind: "none" }
  /** There is no interface yet: it comes with the network, or with the helper. */
  | { readonly kind: "missing" }
  | { readonly kind: "foreign"; readonly why: string }
  | ({ readonly kind: "interface" } & LanInterface);

/** How each LAN of a decky is kept from the host, by name; undefined where nobody looked, or it is not meant to be. */
export type Containments = ReadonlyMap<string, ObservedContainment | undefined>;

/** Of a LAN whose deckies cannot reach the host. */
export const contained: ObservedContainment = { flaw: "", unable: "" };

/** Another installation, or another program, has another table. */
export function tableName(instance: string): string {
  return `decnet-${instance.replaceAll(/[^A-Za-z0-9_-]/g, "_")}`;
}

/**
 * One transaction: the table is there with exactly these interfaces, and at no moment without its rules. What comes from a decky
 * is a response to the host, or is refused as on a machine where nobody listens: a server that asks its gateway for a name, for
 * instance, need not wait for the refusal. Neighbour discovery makes the responses possible on IPv6; a gateway can be pinged.
 *
 * What the host forwards to a closed LAN is a response, or was sent to a published port, or stays inside: frames that deckies
 * send each other on one bridge pass these rules, too. All else gets no answer, as if there were no such network.
 */
export function renderContainment(instance: string, interfaces: readonly LanInterface[]): string {
  const table = `inet ${tableName(instance)}`;
  // Deleting what is not there would fail.
  const clear = `table ${table}\ndelete table ${table}\n`;
  if (interfaces.length === 0) return clear;
  const closed = interfaces.filter(({ isClosed }) => isClosed);
  return `${clear}table ${table} {
  set lans {
    type ifname${elements(interfaces, (name) => `"${name}"`)}
  }
  set closed {
    type ifname${elements(closed, (name) => `"${name}"`)}
  }
  set inside {
    type ifname . ifname${elements(closed, (name) => `"${name}" . "${name}"`)}
  }
  chain contained {
    ct state established accept
    ct state related meta l4proto { icmp, ipv6-icmp } accept
    icmp type echo-request accept
    icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept
    meta l4proto tcp counter reject with tcp reset
    counter reject
  }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname @lans jump contained comment "${tableName(instance)}: deckies reach no port of this host"
  }
  chain visitors {
    ct state established accept
    ct state related meta l4proto { icmp, ipv6-icmp } accept
    ct status dnat accept
    iifname . oifname @inside accept
    counter drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    oifname @closed jump visitors comment "${tableName(instance)}: topologies are reached by published ports alone"
  }
}
`;
}

/** nftables takes no empty list. */
function elements(interfaces: readonly LanInterface[], text: (name: string) => string): string {
  const names = [...new Set(interfaces.map(({ name }) => name))].sort();
  return names.length === 0 ? "" : `\n    elements = { ${names.map(text).join(", ")} }`;
}

const ownSet = /(set (lans|closed|inside) \{[^{}]*?)\s*elements = \{([^}]*)\}/g;

/** A listing without what differs from moment to moment: interfaces, which are told apart, and counts. */
export function readListing(listing: string): {
  readonly interfaces: ReadonlySet<string>;
  readonly closed: ReadonlySet<string>;
  readonly rules: string;
} {
  const sets = new Map([...listing.matchAll(ownSet)].map(([, , set = "", listed = ""]) => [set, listed.split(",")]));
  const namesIn = (set: string) => (sets.get(set) ?? []).map((each) => [...each.matchAll(/"([^"]+)"/g)].map(([, name]) => name));
  const single = (set: string) => new Set(namesIn(set).flatMap(([name]) => name ?? []));
  const inside = namesIn("inside");
  const isClosed = (name: string) => {
    const ways = inside.filter(([, to]) => to === name);
    return ways.length === 1 && ways[0]?.[0] === name;
  };
  const rules = listing
    .replaceAll(ownSet, "$1")
    .replaceAll(/counter packets \d+ bytes \d+/g, "counter")
    .replaceAll(/\s+/g, " ")
    .trim();
  return { interfaces: single("lans"), closed: new Set([...single("closed")].filter(isClosed)), rules };
}

/** `present`: interfaces of the network namespace that this program is in. */
export function judgeContainment(entry: LanEntry, rules: ObservedRules, present: ReadonlySet<string>): ObservedContainment {
  if (entry.kind === "none") return contained;
  if (entry.kind === "foreign") return { flaw: "", unable: entry.why };
  if (rules.kind === "unable") return { flaw: "", unable: rules.why };
  if (entry.kind === "interface" && !present.has(entry.name)) return { flaw: "", unable: elsewhere(entry.name) };
  if (rules.kind === "absent") return flawed("nothing keeps deckies from the ports of this host");
  if (!rules.isAsMade) return flawed("the rules that keep deckies from the ports of this host were changed");
  if (entry.kind !== "interface" || !rules.interfaces.has(entry.name))
    return flawed("no rule keeps the deckies of this LAN from the ports of this host");
  if (entry.isClosed && !rules.closed.has(entry.name))
    return flawed("no rule keeps machines outside from the deckies of this LAN");
  return contained;
}

function flawed(flaw: string): ObservedContainment {
  return { flaw, unable: "" };
}

function elsewhere(name: string): string {
  return (
    `the engine's interface ${name} is in another network namespace than this program, so that no rule here keeps deckies from ` +
    "the ports of their host; run both in the same one, or set DECNET_CONTAINMENT=off"
  );
}
