import { AppError } from "@decnet/common/errors/app-error";
import { topologyNetwork } from "@decnet/engine/render/names";
import { overlap, parseRange } from "@decnet/engine/tables/subnets";
import type { Design, TopologyLan } from "../../model/topology.ts";
import { formatIpv4, parseSubnet } from "../addresses.ts";
import type { TakenSubnet } from "./validate.ts";

/** Addresses of a LAN that a decky may get: all hosts but the first, which is the gateway's. */
export function* freeAddresses({ subnet }: Pick<TopologyLan, "subnet">, used: ReadonlySet<string>): Generator<string> {
  const network = parseSubnet(subnet);
  if (network === undefined) return;
  for (const address of network.hosts(undefined)) if (address !== network.firstHost && !used.has(address)) yield address;
}

/** The next free address of a LAN. Throws TOPOLOGY_INVALID when it is full. */
export function nextAddress(design: Design, lan: TopologyLan, taken: ReadonlySet<string> = new Set()): string {
  const used = new Set([...usedOn(design, lan.name), ...taken]);
  const { value, done } = freeAddresses(lan, used).next();
  if (done !== true) return value;
  throw new AppError("TOPOLOGY_INVALID", `the LAN ${lan.name} (${lan.subnet}) has no free address left`, {
    metadata: { lan: lan.name },
    violations: [{ field: "lan", description: `${lan.subnet} is full` }],
  });
}

export function usedOn(design: Design, lan: string): string[] {
  return design.deckies.flatMap(({ attachments }) => attachments.filter((each) => each.lan === lan).map(({ ip }) => ip));
}

/** Networks that a topology cannot have on its host: all that are taken there but its own. */
export function heldThere(
  subnets: readonly (TakenSubnet & { readonly network: string })[],
  topologyId: string,
): readonly TakenSubnet[] {
  const own = topologyNetwork(topologyId, "");
  return subnets
    .filter(({ network }) => topologyId === "" || !network.startsWith(own))
    .map(({ subnet, holder }) => ({ subnet, holder }));
}

/** Throws TOPOLOGY_INVALID when a network is wanted that is somebody else's; empty: none is named. */
export function refuseTaken(wanted: string, taken: readonly TakenSubnet[]): void {
  const holder = wanted === "" ? undefined : taken.find(({ subnet }) => overlap(subnet, wanted));
  if (holder === undefined) return;
  const description = `${wanted} overlaps ${holder.subnet} of ${holder.holder}`;
  throw new AppError("TOPOLOGY_INVALID", description, { violations: [{ field: "subnet", description }] });
}

/** The /24 networks of a base in ascending order that overlap none of `used`. Empty for a base narrower than /24. */
export function* freeSubnets(base: string, used: readonly string[]): Generator<string> {
  const range = parseRange(base);
  if (range === undefined || range.last - range.first < 255) return;
  const held = used.flatMap((each) => parseRange(each) ?? []).sort((one, other) => one.first - other.first);
  let at = 0;
  let first = range.first;
  while (first + 255 <= range.last) {
    const next = held[at];
    if (next !== undefined && next.first <= first + 255) {
      // Past all of it at once: a held /8 is not tried /24 by /24.
      at += 1;
      if (next.last >= first) first += 256 * Math.ceil((next.last + 1 - first) / 256);
      continue;
    }
    yield `${formatIpv4(first)}/24`;
    first += 256;
  }
}

/** The next free /24. Throws TOPOLOGY_INVALID when there is none. */
export function nextSubnet(base: string, used: readonly string[]): string {
  return takeSubnet(freeSubnets(base, used), base);
}

/** The next one of a base's free networks. Throws TOPOLOGY_INVALID when there is none. */
export function takeSubnet(free: Iterator<string>, base: string): string {
  const { value, done } = free.next();
  if (done !== true) return value;
  throw new AppError("TOPOLOGY_INVALID", `${base} has no free /24 network left`, {
    violations: [{ field: "subnet_base", description: "is used up, or narrower than /24" }],
  });
}
