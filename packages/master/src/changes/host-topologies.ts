import { AppError } from "@decnet/common/errors/app-error";
import type { DeckyChange } from "../decide/decky-change.ts";
import type { Host } from "../model/host.ts";
import { isLegalTransition, type Topology } from "../model/topology.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";

/** What becomes of the topologies of a host that is taken out of service: they are on it, or nowhere. */

/** The LANs of a topology are on its host: its deckies do not move. Throws HOST_HAS_TOPOLOGIES, which names them. */
export function refuseTopologies(host: Host, present: readonly DeckyChange[], topologies: readonly Topology[]): void {
  const pinned = present.filter(({ decky }) => decky.scope !== "fleet");
  if (pinned.length === 0) return;
  const scopes = new Set(pinned.map(({ decky }) => decky.scope));
  const names = topologies.filter(({ id }) => scopes.has(id)).map(({ name }) => name);
  const [which, stay] =
    names.length === 1 ? ["the topology", "which stays on its host"] : ["the topologies", "which stay on their host"];
  const message = `${pinned.length} deckies on ${host.name} belong to ${which} ${listed(names)}, ${stay}`;
  throw new AppError("HOST_HAS_TOPOLOGIES", message, {
    metadata: { host: host.name, ...(names[0] === undefined ? {} : { topology: names[0] }) },
  });
}

/** `corp/web-01`, or `web-01` of the fleet. */
export function nameIn(topologies: readonly Topology[]): (change: DeckyChange) => string {
  const names = new Map(topologies.map(({ id, name }) => [id, name]));
  return ({ decky: { scope, name } }) => (scope === "fleet" ? name : `${names.get(scope) ?? scope}/${name}`);
}

/** Its deckies are torn down with those of the fleet: the topologies are, too. What never ran stays as it is designed. */
export async function tearDownWith(tx: Tx, { name }: Host, { topologies }: Pick<Store, "topologies">): Promise<void> {
  for (const topology of await topologies.ofHost(tx, name))
    if (isDeployed(topology)) await topologies.step(tx, topology, "tearing_down", `host ${name} is decommissioned`);
}

/** Nothing of them is known any more; `why` says what that means for what may be there still. */
export async function forgetWith(tx: Tx, { name }: Host, why: string, { topologies }: Pick<Store, "topologies">): Promise<void> {
  const reason = `host ${name} was ${why}: what ran there may still be there`;
  for (const topology of await topologies.ofHost(tx, name)) {
    if (isDeployed(topology)) await topologies.step(tx, topology, "tearing_down", reason);
    const leaving = isDeployed(topology) ? { ...topology, state: "tearing_down" as const } : topology;
    if (leaving.state === "tearing_down") await topologies.step(tx, leaving, "torn_down", reason);
  }
}

function isDeployed({ state }: Topology): boolean {
  return state !== "pending" && state !== "failed" && isLegalTransition(state, "tearing_down");
}

const mostListed = 8;

function listed(names: readonly string[]): string {
  const more = names.length > mostListed ? [`${names.length - mostListed} more`] : [];
  return [...names.slice(0, mostListed), ...more].join(", ");
}
