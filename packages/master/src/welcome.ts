import type { Convergence } from "./convergence/convergence.ts";
import { hostEvent } from "./model/events.ts";
import type { Store } from "./store/store.ts";

/** A worker is connected: what waits for it goes on. */
export async function welcome(name: string, store: Store, { converger }: Convergence): Promise<void> {
  await store.transaction((tx) => store.events.append(tx, hostEvent(name, "connected", "")));
  store.events.wake();
  await converger.wakeHost(name);
}
