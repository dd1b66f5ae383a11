import { AppError } from "@decnet/common/errors/app-error";
import type { DeckyChange } from "../decide/decky-change.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Topology } from "../model/topology.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";

/** What of a topology refuses a change of it. */

export function requireVersion({ name, version }: Topology, expected: number | undefined): void {
  if (expected === undefined || expected === version) return;
  throw new AppError("VERSION_CONFLICT", `the topology ${name} has version ${version}, not ${expected}`, {
    metadata: { topology: name, expected: String(expected), actual: String(version) },
  });
}

/** New deckies need a host that takes some. Throws HOST_NOT_FOUND or HOST_DRAINING. */
export async function requireTakingHost(
  tx: Tx,
  { host }: Topology,
  changes: readonly DeckyChange[],
  { store, hosts }: { readonly store: Pick<Store, "hosts">; readonly hosts: Pick<HostRegistry, "isMasters"> },
): Promise<void> {
  if (hosts.isMasters(host) || !changes.some(({ action }) => action === "deploy")) return;
  const { draining, decommissioning } = await store.hosts.find(host, tx);
  if (!draining) return;
  const what = decommissioning ? "is being decommissioned" : "takes no new deckies: it is draining";
  throw new AppError("HOST_DRAINING", `host ${host} ${what}`, { metadata: { host } });
}

export function wrongState({ name, state }: Pick<Topology, "name" | "state">, why: string): AppError {
  return new AppError("TOPOLOGY_STATE", `the topology ${name} is ${state.replace("_", " ")}: ${why}`, {
    metadata: { topology: name, state },
  });
}
