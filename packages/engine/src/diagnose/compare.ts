import type { ObservedContainer, ObservedInterfaces, ObservedNetwork } from "../observe/observed.ts";
import { differingTraits, type Traits } from "../observe/traits.ts";
import type { RenderedDecky, WantedPlace } from "../render/render-decky.ts";
import type { Mend } from "./diagnosis.ts";

/** Says in what a container is not what was made here; undefined when it is, or when that was never noted. Pure. */
export function alteration(made: Traits | undefined, seen: Traits): string | undefined {
  const parts = made === undefined ? [] : differingTraits(made, seen);
  return parts.length === 0 ? undefined : `is not what was made here: other ${parts.join(", ")}`;
}

/** Says what is wrong with a base's places on its LANs. What a base has only while it runs is looked at only then. Pure. */
export function attachmentFlaw(
  base: ObservedContainer,
  { base: { places } }: Pick<RenderedDecky, "base">,
  networks: ReadonlyMap<string, ObservedNetwork> | undefined,
  interfaces: ObservedInterfaces | undefined,
): string | undefined {
  for (const place of places) {
    const flaw = placeFlaw(base, place, networks, interfaces);
    if (flaw !== undefined) return flaw;
  }
  return undefined;
}

function placeFlaw(
  base: ObservedContainer,
  wanted: WantedPlace,
  networks: ReadonlyMap<string, ObservedNetwork> | undefined,
  interfaces: ObservedInterfaces | undefined,
): string | undefined {
  const { network: name } = wanted;
  const place = base.attachments.find(({ network }) => network === name);
  if (place === undefined) return `is not on the network ${name}`;
  if (networks !== undefined && networks.get(name)?.id !== place.networkId) return `is on a network ${name} that is gone`;
  const address = base.status === "running" ? place.address : place.pinned;
  if (address !== wanted.address) return `has the address ${address || "of nobody"} instead of ${wanted.address}`;
  if (base.status !== "running") return undefined;
  const mac = wanted.mac?.toLowerCase();
  if (mac !== undefined && place.mac !== mac) return `has the MAC address ${place.mac} instead of ${mac}`;
  return interfaces === undefined ? undefined : interfaceFlaw(interfaces, wanted.address, mac);
}

/** What was set in the namespace itself, behind the engine's back. */
function interfaceFlaw(
  { interfaces, addresses }: ObservedInterfaces,
  address: string,
  mac: string | undefined,
): string | undefined {
  const own = mac === undefined ? interfaces : interfaces.filter((each) => each.mac === mac);
  const [first] = interfaces;
  if (first === undefined) return "has no network interface";
  if (own.length === 0) return `has the MAC address ${first.mac} instead of ${mac}`;
  if (!own.some(({ isUp }) => isUp)) return `has its interface ${own[0]?.name ?? first.name} down`;
  return addresses.has(address) ? undefined : `does not have its address ${address}`;
}

/** What can be mended while it runs. Pure. */
export function mendsOf({ name, attachments }: ObservedContainer, wantedName: string, lans: readonly string[]): Mend[] {
  const rename: Mend[] = name === wantedName ? [] : [{ kind: "rename", sentence: `is called ${name} instead of ${wantedName}` }];
  const others = attachments.filter(({ network }) => !lans.includes(network));
  return [
    ...rename,
    ...others.map(({ network }): Mend => ({ kind: "leave_network", network, sentence: `is on the network ${network}, too` })),
  ];
}
