import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { resolution } from "../decide/resolution.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky } from "../model/decky.ts";
import type { Store } from "../store/store.ts";
import type { Lanes } from "./lanes.ts";

type RemovedDecky = Pick<Decky, "id" | "scope" | "name">;

/** Removes moved deckies from where they were. Each removal takes its place in the lane of the host that is left, and has a deadline. */
export interface Removals {
  /** Throws HOST_UNREACHABLE when the host did not do it. */
  remove(decky: RemovedDecky, host: string): Promise<void>;
  /** The same while the decky runs where it is to be: nothing waits for it, and a failure is tried again. `again` wakes the decky after a while. */
  removeAside(decky: RemovedDecky, host: string, again: (delayMs: number) => void): void;
  /** Resolves when no removal of the decky from this host is under way. */
  settled(deckyId: string, host: string): Promise<void>;
  idle(): Promise<void>;
}

export interface RemovalsOptions {
  readonly store: Pick<Store, "situations" | "resolver">;
  readonly hosts: Pick<HostRegistry, "link">;
  readonly lanes: Lanes;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

const deadlineMs = 120_000;
/** Until a host is asked again. */
const againMs = 5_000;
const nothing = () => undefined;

export function createRemovals({ store, hosts, lanes, log, stopping }: RemovalsOptions): Removals {
  const running = new Map<string, Promise<void>>();

  const removeNow = async ({ id, scope, name }: RemovedDecky, host: string): Promise<void> => {
    const slot = await lanes.enter(host, stopping);
    try {
      // It may be wanted there again by now.
      const { situation } = await store.situations.load({ decky: { id } });
      if (situation?.decky.pendingRemovals.includes(host) !== true) return;
      const signal = AbortSignal.any([stopping, AbortSignal.timeout(deadlineMs)]);
      const target = { kind: "absent", scope, name } as const;
      const how = { expectedDigest: "", onPlan: nothing, onStep: nothing, signal };
      const { failure } = await hosts.link(host).apply(target, how);
      if (failure !== undefined)
        throw new AppError("HOST_UNREACHABLE", `${name} could not be removed from ${host}: ${failure.message}`, {
          metadata: { host },
        });
      await store.resolver.resolve({ decky: { id }, from: situation, decide: ({ decky }) => resolveRemoved(decky, host) });
    } finally {
      slot.release();
    }
  };

  const remove: Removals["remove"] = (decky, host) => {
    const key = `${decky.id}@${host}`;
    const present = running.get(key);
    if (present !== undefined) return present;
    const work = removeNow(decky, host).finally(() => running.delete(key));
    running.set(key, work);
    return work;
  };

  return {
    remove,
    removeAside(decky, host, again) {
      if (running.has(`${decky.id}@${host}`)) return;
      remove(decky, host).then(
        () => again(0),
        (error: unknown) => {
          if (stopping.aborted) return;
          log.warn("a decky could not be removed from where it was", { decky: decky.name, host, err: error });
          again(againMs);
        },
      );
    },
    settled: async (deckyId, host) => running.get(`${deckyId}@${host}`)?.catch(nothing),
    idle: async () => void (await Promise.allSettled(running.values())),
  };
}

function resolveRemoved(decky: Decky, host: string) {
  if (!decky.pendingRemovals.includes(host)) return undefined;
  const pendingRemovals = decky.pendingRemovals.filter((other) => other !== host);
  return resolution(`removed from ${host}`, { decky: { kind: "patch", patch: { pendingRemovals } } });
}
