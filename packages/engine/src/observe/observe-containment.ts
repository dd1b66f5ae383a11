import {
  type Containments,
  judgeContainment,
  type LanEntry,
  type LanInterface,
  type ObservedContainment,
  type ObservedRules,
} from "../policy/containment.ts";
import type { HostRules } from "../policy/host-rules.ts";
import { presentInterfaces } from "../policy/host-rules.ts";
import { isTopologyNetwork } from "../render/names.ts";
import type { DeckySpec, LanSpec } from "../spec.ts";
import { accessTo, type ObservedLinks } from "./host-access.ts";
import { type EngineNetwork, foreignness, type LanRights } from "./lan.ts";
import { networkIdOf, type ObservedDecky } from "./observed.ts";

export interface ContainmentSources {
  /** Undefined: this host was told not to contain its deckies. */
  readonly rules: Pick<HostRules, "observe"> | undefined;
  readonly rights: LanRights;
}

type Networks = () => Promise<ReadonlyMap<string, EngineNetwork>>;

interface Seen {
  readonly networks?: ReadonlyMap<string, EngineNetwork> | undefined;
  readonly networkId?: string | undefined;
  readonly links: ObservedLinks | undefined;
}

/** Looks at several LANs of a host at one moment. */
export interface ContainmentLook {
  /**
   * Undefined: deckies are not contained here, and are not meant to be. `networks`: those that there are, if that was looked at;
   * `networkId`: otherwise, of the one that a running base is on; a stopped base names one that may be gone. `links`: needed for
   * LANs that are not bridges. Throws NOT_OBSERVED.
   */
  of(lan: LanSpec, seen: Seen): Promise<ObservedContainment | undefined>;
}

/** `observed`: where the decky is now; undefined: not known. Throws NOT_OBSERVED. */
export async function observeContainments(
  look: ContainmentLook,
  { attachments }: Pick<DeckySpec, "attachments">,
  { observed, ...seen }: Omit<Seen, "networkId"> & { readonly observed?: ObservedDecky | undefined },
): Promise<Containments> {
  const found = new Map<string, ObservedContainment | undefined>();
  for (const { lan } of attachments) {
    const networkId = observed === undefined ? undefined : networkIdOf(observed, lan);
    found.set(lan.name, await look.of(lan, { ...seen, networkId }));
  }
  return found;
}

export interface ContainmentObserver {
  /** `networks`: of the host, as whoever looks at other things besides has seen or sees them. */
  look(networks: Networks): ContainmentLook;
}

export function createContainmentObserver({ rules, rights }: ContainmentSources): ContainmentObserver {
  /** By id: what is read here of a network never changes. */
  const known = new Map<string, EngineNetwork>();
  const networkOf = async (name: string, id: string | undefined, networks: Networks): Promise<EngineNetwork | undefined> => {
    const before = id === undefined ? undefined : known.get(id);
    if (before?.name === name) return before;
    const now = await networks();
    known.clear();
    for (const network of now.values()) known.set(network.id, network);
    return now.get(name);
  };
  const entryOf = async (lan: LanSpec, { networks, networkId, links }: Seen, all: Networks): Promise<LanEntry> => {
    const network = networks === undefined ? await networkOf(lan.name, networkId, all) : networks.get(lan.name);
    const why = network === undefined ? undefined : foreignness(network, lan, rights);
    if (why !== undefined) return { kind: "foreign", why };
    if (lan.driver !== "bridge") return helperEntry(lan, links, rights);
    return network === undefined ? { kind: "missing" } : { kind: "interface", ...bridgeOf(network) };
  };
  return {
    look(networks) {
      let observed: Promise<ObservedRules> | undefined;
      return {
        async of(lan, seen) {
          if (rules === undefined) return undefined;
          const entry = await entryOf(lan, seen, networks);
          observed ??= rules.observe();
          return judgeContainment(entry, await observed, presentInterfaces());
        },
      };
    },
  };
}

/** Without an address on the parent interface the host has no place on such a LAN, and so no port that could be reached there. */
function helperEntry(lan: LanSpec, links: ObservedLinks | undefined, { instance }: LanRights): LanEntry {
  const access = links === undefined ? undefined : accessTo(lan, instance, links);
  if (access === undefined) return { kind: "none" };
  return access.helper === undefined ? { kind: "missing" } : { kind: "interface", name: access.helper.name, isClosed: false };
}

/** Operators route to the fleet's LANs on purpose; to those of topologies nobody does. */
export function bridgeOf({ name, bridge }: Pick<EngineNetwork, "name" | "bridge">): LanInterface {
  return { name: bridge, isClosed: isTopologyNetwork(name) };
}
