import type { NetworkCalls } from "../docker/network-calls.ts";
import type { LanSpec } from "../spec.ts";
import type { ObservedLinks } from "./host-access.ts";
import { type EngineNetwork, judgeLan, type LanRights, type ObservedLan } from "./lan.ts";

export interface LanSources extends LanRights {
  readonly api: Pick<NetworkCalls, "residents"> & { networks(): Promise<ReadonlyMap<string, EngineNetwork>> };
  readonly observeLinks: () => Promise<ObservedLinks>;
}

/** Looks at a LAN on this host, before or after its network was made. */
export async function observeLan(lan: LanSpec, { api, instance, adopted, observeLinks }: LanSources): Promise<ObservedLan> {
  const networks = await api.networks();
  const isThere = networks.has(lan.name);
  const [residents, links] = await Promise.all([
    isThere ? api.residents(lan.name, instance) : [],
    isThere && lan.driver === "bridge" ? undefined : observeLinks(),
  ]);
  return judgeLan(lan, { networks: [...networks.values()], residents, links, instance, adopted });
}
