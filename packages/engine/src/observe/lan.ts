import type { LanSpec } from "../spec.ts";
import { mtuRange, overlap } from "../tables/subnets.ts";
import type { ObservedLinks } from "./host-access.ts";

/** A network of the engine, whoever made it. */
export interface EngineNetwork {
  readonly id: string;
  /** The first one; empty when the engine does not tell. */
  readonly subnet: string;
  readonly name: string;
  readonly driver: string;
  readonly subnets: readonly string[];
  /** Addresses that it keeps for itself, with what for. */
  readonly kept: readonly AddressHolder[];
  /** Undefined: the engine does not tell. */
  readonly mtu: number | undefined;
  /** The installation whose label it has; empty when it has none. */
  readonly owner: string;
  /** Cut off from everything outside by the engine. */
  readonly isInternal: boolean;
  /** Of a bridge: the interface by which it reaches the host. */
  readonly bridge: string;
  /** Of a macvlan or ipvlan network; empty when the engine does not tell. */
  readonly parent: string;
}

/** Whose networks deckies may be on: this installation's, and those that the operator named. */
export interface LanRights {
  readonly instance: string;
  /** Names of networks. */
  readonly adopted: ReadonlySet<string>;
}

export interface AddressHolder {
  readonly address: string;
  /** For people: `the container web`. */
  readonly holder: string;
}

/** A container on a network. */
export interface Resident extends AddressHolder {
  readonly isOurs: boolean;
  /** Whether it has its address now, or would take it when it starts. */
  readonly isUp: boolean;
}

/** What decides on a host whether it can have a LAN. */
export interface LanSurroundings extends LanRights {
  readonly networks: readonly EngineNetwork[];
  readonly residents: readonly Resident[];
  /** Undefined: they were not asked for, since the LAN's network is there. */
  readonly links: ObservedLinks | undefined;
}

/** A LAN as a host sees it. */
export interface ObservedLan {
  /** Why this host cannot have it, naming who is in the way; empty when it can. */
  readonly trouble: string;
  /** Addresses on it that are not ours to give. */
  readonly taken: readonly (AddressHolder & { readonly isUp: boolean })[];
  /** What its network would be made with. */
  readonly mtu: LanMtu | undefined;
}

export interface LanMtu {
  readonly value: number;
  readonly cause: string;
}

/** Of a LAN that nobody looked at. */
export const unseenLan: ObservedLan = { trouble: "", taken: [], mtu: undefined };

/** Pure. */
export function judgeLan(lan: LanSpec, surroundings: LanSurroundings): ObservedLan {
  const mtu = mtuOf(lan, surroundings);
  return { trouble: troubleOf(lan, surroundings) ?? "", taken: takenOn(lan, surroundings), mtu };
}

function troubleOf(lan: LanSpec, surroundings: LanSurroundings): string | undefined {
  const { networks, links } = surroundings;
  if (predefined.has(lan.name))
    return `the Docker network ${lan.name} is the engine's own, which no decky can be on; choose another name for the LAN`;
  // Engines take an id for a name.
  const meant = networks.find(({ id, name }) => name !== lan.name && isIdOf(lan.name, id));
  if (meant !== undefined) return `${lan.name} is the id of the Docker network ${meant.name}; choose another name for the LAN`;
  const own = networks.find(({ name }) => name === lan.name);
  if (own !== undefined) return foreignness(own, lan, surroundings) ?? mismatch(lan, own);
  for (const { name, subnets } of networks)
    for (const subnet of subnets)
      if (overlap(subnet, lan.subnet)) return `${lan.subnet} overlaps ${subnet} of the Docker network ${name}`;
  if (links === undefined) return undefined;
  return parentless(lan, links) ?? heldByHost(lan, links) ?? tooLarge(lan, links);
}

/** Whole or in part, as engines show it. */
function isIdOf(name: string, id: string): boolean {
  return name.length >= 12 && id.startsWith(name);
}

/** Every engine has them, under these names. */
const predefined: ReadonlySet<string> = new Set(["bridge", "host", "none", "default"]);

/** Says why no decky may be on a network that is there; undefined when it is ours, or was adopted. */
export function foreignness(
  { name, owner, isInternal }: EngineNetwork,
  { internal }: Pick<LanSpec, "internal">,
  { instance, adopted }: LanRights,
): string | undefined {
  if (predefined.has(name)) return `the Docker network ${name} is the engine's own, which no decky can be on`;
  if (owner !== instance && !adopted.has(name)) {
    const whose = owner === "" ? "was made by somebody else" : `belongs to another installation (${owner})`;
    return (
      `the Docker network ${name} ${whose}; choose another name for the LAN, or docker network rm ${name}, or adopt it: name ` +
      "it in DECNET_ADOPTED_NETWORKS on this host and start the daemon again"
    );
  }
  if (!isInternal || internal === true) return undefined;
  return `the Docker network ${name} is internal: nobody outside of it would reach its deckies; choose another name for the LAN`;
}

/** A network of that name that was made for another LAN. */
function mismatch(lan: LanSpec, { driver, subnets, mtu, parent, isInternal }: EngineNetwork): string | undefined {
  const is = (what: string) =>
    `the Docker network ${lan.name} is there already, with ${what}; docker network rm ${lan.name}, or choose another name`;
  if (driver !== lan.driver) return is(`the driver ${driver} in place of ${lan.driver}`);
  if (!subnets.includes(lan.subnet)) return is(`${subnets.join(", ") || "no subnet"} in place of ${lan.subnet}`);
  if (lan.parent !== undefined && parent !== "" && parent !== lan.parent)
    return is(`the parent interface ${parent} in place of ${lan.parent}`);
  if (lan.internal === true && !isInternal) return is("a way to everything else");
  if (lan.mtu !== undefined && mtu !== undefined && mtu !== lan.mtu) return is(`an MTU of ${mtu} in place of ${lan.mtu}`);
  return undefined;
}

function parentless({ driver, parent = "" }: LanSpec, { names }: ObservedLinks): string | undefined {
  if (driver === "bridge" || names.has(parent) || names.has(parent.split(".")[0] ?? "")) return undefined;
  return `this host has no interface ${parent} for ${driver}; there are ${[...names].join(", ")}`;
}

/** On its parent interface a macvlan or ipvlan LAN shares the host's network: that is what it is for. */
function heldByHost(lan: LanSpec, links: ObservedLinks): string | undefined {
  const isParent = (name: string) => lan.driver !== "bridge" && (name === lan.parent || links.parents.get(name) === lan.parent);
  const helpers = new Set(links.helpers.map(({ name }) => name));
  // The engine makes a network's bridge before it lists the network: somebody else is just making this one.
  const isInTheMaking = (name: string) =>
    /^br-[0-9a-f]{12}$/.test(name) && links.addresses.get(name)?.includes(lan.gateway) === true;
  const isApart = (name: string) => !isParent(name) && !helpers.has(name) && !isInTheMaking(name);
  for (const [name, subnets] of links.subnets)
    for (const subnet of isApart(name) ? subnets : [])
      if (overlap(subnet, lan.subnet)) return `${lan.subnet} overlaps ${subnet}, which this host has on ${name}`;
  for (const { dst, dev } of links.routes)
    if (dev !== "" && isApart(dev) && overlap(dst, lan.subnet))
      return `${lan.subnet} overlaps ${dst}, which this host has a route to through ${dev}`;
  return undefined;
}

/** The kernel gives no interface a greater MTU than its parent has. */
function tooLarge({ mtu, driver, parent = "" }: LanSpec, links: ObservedLinks): string | undefined {
  const most = driver === "bridge" ? undefined : parentMtu(parent, links);
  if (mtu === undefined || most === undefined || mtu <= most) return undefined;
  return `an MTU of ${mtu} is more than ${parent} has, which is ${most}`;
}

/** The engine makes `eth0.10` itself when there is an `eth0`. */
function parentMtu(parent: string, { mtus }: ObservedLinks): number | undefined {
  return mtus.get(parent) ?? mtus.get(parent.split(".")[0] ?? "");
}

function mtuOf(lan: LanSpec, { networks, links }: LanSurroundings): LanMtu | undefined {
  if (lan.mtu !== undefined) return { value: lan.mtu, cause: "as asked for" };
  const isBridge = lan.driver === "bridge";
  const value = isBridge
    ? networks.find(({ name }) => name === "bridge")?.mtu
    : links === undefined
      ? undefined
      : parentMtu(lan.parent ?? "", links);
  // An engine or a driver may tell nothing that a network can have.
  if (value === undefined || value < mtuRange.least || value > mtuRange.most) return undefined;
  return { value, cause: isBridge ? "as the engine's own bridge" : `as ${lan.parent}` };
}

function takenOn(lan: LanSpec, { networks, residents, links }: LanSurroundings): ObservedLan["taken"] {
  const kept = networks.filter(({ name }) => name === lan.name).flatMap((network) => network.kept);
  const hosts = [...(links?.addresses ?? [])].flatMap(([name, addresses]) =>
    addresses.map((address) => ({ address, holder: `this host, on ${name}` })),
  );
  return [
    ...residents.filter(({ isOurs }) => !isOurs).map(({ address, holder, isUp }) => ({ address, holder, isUp })),
    ...[...kept, ...hosts].map((each) => ({ ...each, isUp: true })),
  ].filter(({ address }) => address !== lan.gateway && overlap(address, lan.subnet));
}
