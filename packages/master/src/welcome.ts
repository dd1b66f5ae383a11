import type { Convergence } from "./convergence/convergence.ts";
import type { Ground } from "./ground.ts";
import { catchUp } from "./hosts/behind.ts";
import type { HostRegistry } from "./links/host-registry.ts";
import { hostEvent } from "./model/events.ts";

/** A worker is connected: what waits for it goes on. */
export async function welcome(
  name: string,
  { store, catalog, options: { log, config } }: Ground,
  registry: HostRegistry,
  { converger }: Convergence,
): Promise<void> {
  await store.transaction(async (tx) => store.events.append(tx, hostEvent(name, "connected", "")));
  store.events.wake();
  await catchUp(name, { store, registry, catalog, log, whenBehind: config.whenBehind });
  await converger.wakeHost(name);
}
