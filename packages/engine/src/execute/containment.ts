import { AppError } from "@decnet/common/errors/app-error";
import type { NetworkCalls, OwnNetwork } from "../docker/network-calls.ts";
import { helperOwner } from "../observe/host-access.ts";
import type { LanRights } from "../observe/lan.ts";
import { bridgeOf, type ContainmentObserver, createContainmentObserver } from "../observe/observe-containment.ts";
import type { LanInterface } from "../policy/containment.ts";
import { createHostRules } from "../policy/host-rules.ts";
import type { HostLinks } from "./host-links.ts";

/** Keeps deckies from the ports of their host, and machines outside from topologies; looks whether they are kept. */
export interface Containment extends ContainmentObserver {
  /** Looks for the first time; on a host that does not contain its deckies any more, removes what was put there. */
  begin(): Promise<void>;
  /** Says what is wrong here for all deckies, and what to do about it; undefined when nothing is. */
  warning(): string | undefined;
  /** Puts the rules there for every network of ours, and for `lan`. Throws APPLY_FAILED. */
  lay(lan: string, signal: AbortSignal): Promise<void>;
  /** The same after a network went; without any, the table goes. Where it cannot be there, nothing is left of it either. */
  release(signal: AbortSignal): Promise<void>;
}

export interface ContainmentOptions {
  readonly api: Pick<NetworkCalls, "ownNetworks">;
  readonly links: Pick<HostLinks, "observe">;
  readonly rights: LanRights;
  readonly dataDir: string;
  /** Whether deckies are contained on this host at all. */
  readonly isOn: boolean;
}

export function createContainment({ api, links, rights, dataDir, isOn }: ContainmentOptions): Containment {
  const rules = createHostRules(rights.instance, dataDir);
  let unable: string | undefined;
  const observe = async () => {
    const observed = await rules.observe();
    unable = observed.kind === "unable" ? observed.why : undefined;
    return observed;
  };
  const observer = createContainmentObserver({ rules: isOn ? { observe } : undefined, rights });
  const interfaces = async (lan: string | undefined, signal: AbortSignal): Promise<LanInterface[]> => {
    const networks = await api.ownNetworks(rights);
    const isUsed = ({ name, isAdopted, members }: OwnNetwork) => !isAdopted || members.length > 0 || name === lan;
    const bridges = networks.filter((network) => network.driver === "bridge" && isUsed(network)).map(bridgeOf);
    if (networks.every(({ driver }) => driver === "bridge")) return bridges;
    const owners = new Set(networks.map(({ name }) => helperOwner(rights.instance, name)));
    const { helpers } = await links.observe(signal);
    const own = helpers.filter(({ owner }) => owners.has(owner));
    return [...bridges, ...own.map(({ name }) => ({ name, isClosed: false }))];
  };
  return {
    ...observer,
    async begin() {
      // What cannot be observed now is observed by each plan and each check.
      if (isOn) await observe().catch(() => undefined);
      else await rules.clear();
    },
    warning() {
      if (!isOn) return "DECNET_CONTAINMENT is off: deckies reach the ports of this host, and call whom they like";
      return unable;
    },
    async lay(lan, signal) {
      const why = isOn ? await rules.lay(() => interfaces(lan, signal), signal) : undefined;
      if (why !== undefined) throw new AppError("APPLY_FAILED", why);
    },
    async release(signal) {
      if (isOn) await rules.lay(() => interfaces(undefined, signal), signal);
    },
  };
}
