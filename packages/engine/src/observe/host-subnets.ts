import type { NetworkCalls } from "../docker/network-calls.ts";
import type { ObservedLinks } from "./host-access.ts";
import type { EngineNetwork } from "./lan.ts";

/** A network that is taken on this host. */
export interface HostSubnet {
  /** CIDR; its host bits may be anything. */
  readonly subnet: string;
  /** For people: `the Docker network web`. */
  readonly holder: string;
  /** The name of the engine's network; empty when it is none. */
  readonly network: string;
}

export interface HostSubnetSources {
  readonly api: Pick<NetworkCalls, "networks">;
  readonly observeLinks: () => Promise<ObservedLinks>;
  readonly instance: string;
}

/** Every IPv4 network that something on this host has: the engine's, the interfaces' and the routes'. Throws NOT_OBSERVED. */
export async function observeHostSubnets({ api, observeLinks, instance }: HostSubnetSources): Promise<HostSubnet[]> {
  // Interfaces first: a bridge that is there by then is in the engine's list, unless it is just being made.
  const links = await observeLinks();
  return listHostSubnets([...(await api.networks()).values()], links, instance);
}

/** Pure. */
export function listHostSubnets(networks: readonly EngineNetwork[], links: ObservedLinks, instance: string): HostSubnet[] {
  const bridges = new Set(networks.map(({ bridge }) => bridge));
  const helpers = new Set(links.helpers.map(({ name }) => name));
  /** What the engine's list has under a better name; a bridge that it does not list yet, or no more, says nothing for itself. */
  const isTold = (name: string) => bridges.has(name) || helpers.has(name) || /^br-[0-9a-f]{12}$/.test(name);
  const ipv4 = (subnet: string) => !subnet.includes(":");
  return [
    ...networks.flatMap(({ name, owner, subnets }) => {
      const whose = owner === "" || owner === instance ? "" : ` of another installation (${owner})`;
      const holder = `the Docker network ${name}${whose}`;
      return subnets.filter(ipv4).map((subnet) => ({ subnet, holder, network: name }));
    }),
    ...[...links.subnets].flatMap(([name, subnets]) =>
      isTold(name) ? [] : subnets.map((subnet) => ({ subnet, holder: `this host, on ${name}`, network: "" })),
    ),
    ...links.routes.flatMap(({ dst, dev }) =>
      dev === "" || isTold(dev)
        ? []
        : [{ subnet: dst, holder: `this host, which has a route to it through ${dev}`, network: "" }],
    ),
  ];
}
