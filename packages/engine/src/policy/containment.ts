/**
 * What keeps deckies from the ports of the host that they run on: one table of nftables in the host's network namespace, for all
 * LANs of one installation. Pure.
 */

/** The table as a host has it. */
export type ObservedRules =
  /** This host, or this process, cannot have such a table; `why` says what to do about it. */
  | { readonly kind: "unable"; readonly why: string }
  | { readonly kind: "absent" }
  /** `isAsMade`: everything but the interfaces is as it was when it was put there. */
  | { readonly kind: "there"; readonly interfaces: ReadonlySet<string>; readonly isAsMade: boolean };

/** Of one LAN. */
export interface ObservedContainment {
  /** Why its deckies reach the ports of the host, and a new rule helps; empty when they do not. */
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
  | { readonly kind: "interface"; readonly name: string };

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
 */
export function renderContainment(instance: string, interfaces: readonly string[]): string {
  const table = `inet ${tableName(instance)}`;
  // Deleting what is not there would fail.
  const clear = `table ${table}\ndelete table ${table}\n`;
  if (interfaces.length === 0) return clear;
  const elements = [...new Set(interfaces)].sort().map((name) => `"${name}"`);
  return `${clear}table ${table} {
  set lans {
    type ifname
    elements = { ${elements.join(", ")} }
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
}
`;
}

/** A listing without what differs from moment to moment: interfaces, which are told apart, and counts. */
export function readListing(listing: string): { readonly interfaces: ReadonlySet<string>; readonly rules: string } {
  const elements = /elements = \{([^}]*)\}/.exec(listing)?.[1] ?? "";
  const rules = listing
    .replace(/\s*elements = \{[^}]*\}/, "")
    .replaceAll(/counter packets \d+ bytes \d+/g, "counter")
    .replaceAll(/\s+/g, " ")
    .trim();
  return { interfaces: new Set([...elements.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => name)), rules };
}

/** `present`: interfaces of the network namespace that this program is in. */
export function judgeContainment(entry: LanEntry, rules: ObservedRules, present: ReadonlySet<string>): ObservedContainment {
  if (entry.kind === "none") return contained;
  if (entry.kind === "foreign") return { flaw: "", unable: entry.why };
  if (rules.kind === "unable") return { flaw: "", unable: rules.why };
  if (entry.kind === "interface" && !present.has(entry.name)) return { flaw: "", unable: elsewhere(entry.name) };
  if (rules.kind === "absent") return flawed("nothing keeps deckies from the ports of this host");
  if (!rules.isAsMade) return flawed("the rules that keep deckies from the ports of this host were changed");
  if (entry.kind === "interface" && rules.interfaces.has(entry.name)) return contained;
  return flawed("no rule keeps the deckies of this LAN from the ports of this host");
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
