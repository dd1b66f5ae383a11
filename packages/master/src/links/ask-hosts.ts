import { setTimeout as delay } from "node:timers/promises";
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
    const stopped = new AbortController();
    const patience = delay(patienceMs, undefined, { signal: stopped.signal }).catch(() => undefined);
    const found = await Promise.race([ask(name), patience]);
    stopped.abort();
    return found === undefined ? [] : [[name, found] as const];
  });
  return new Map((await Promise.all(asked)).flat());
}
