import { patience } from "@decnet/common/runtime/patience";
import type { HostSubnet } from "@decnet/engine/observe/host-subnets";
import type { LanSpec } from "@decnet/engine/spec";
import type { LanOnHost, LanOnHosts } from "../model/lan.ts";
import type { HostRegistry } from "./host-registry.ts";

/** A change does not wait longer for what its own plan on the host will say once more. */
const patienceMs = 3_000;

/** What hosts say of a LAN. One that is away, or too slow, is left out: nothing is known of it. */
export async function askHosts(
  hosts: Pick<HostRegistry, "isReachable" | "link">,
  lan: LanSpec,
  names: ReadonlySet<string>,
): Promise<LanOnHosts> {
  const ask = async (name: string): Promise<LanOnHost | undefined> => {
    try {
      return hosts.isReachable(name) ? await hosts.link(name).inspectLan(lan) : undefined;
    } catch {
      return undefined;
    }
  };
  const asked = [...names].map(async (name) => {
    const found = await withPatience(ask(name));
    return found === undefined ? [] : [[name, found] as const];
  });
  return new Map((await Promise.all(asked)).flat());
}

/** Which networks are taken on a host. One that is away, too slow or too old says nothing: its own plans will. */
export async function askSubnets(
  hosts: Pick<HostRegistry, "isReachable" | "link">,
  name: string,
): Promise<readonly HostSubnet[]> {
  const ask = async () => (hosts.isReachable(name) ? hosts.link(name).hostSubnets() : undefined);
  return (await withPatience(ask().catch(() => undefined))) ?? [];
}

async function withPatience<T>(work: Promise<T | undefined>): Promise<T | undefined> {
  const stopped = new AbortController();
  const late = patience(patienceMs, stopped.signal).then(() => undefined);
  const found = await Promise.race([work, late]);
  stopped.abort();
  return found;
}
