import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { resolution } from "../decide/resolution.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky } from "../model/decky.ts";
import type { Store } from "../store/store.ts";
import type { Lanes } from "./lanes.ts";

type RemovedDecky = Pick<Decky, "id" | "scope" | "name">;

/**
 * Removes moved deckies from where they were. Each removal takes its place in the lane of the host that is left, and has a
 * deadline.
 */
export interface Removals {
  /** Throws HOST_UNREACHABLE when the host did not do it. */
  remove(decky: RemovedDecky, host: string): Promise<void>;
  /**
   * The same while the decky runs where it is to be: nothing waits for it, and a failure is tried again. `again` wakes the decky
   * after a while.
   */
  removeAside(decky: RemovedDecky, host: string, again: (delayMs: number) => void): void;
  /** How the last try of a removal failed; undefined when it did not, or there was none. */
  troubleWith(deckyId: string, host: string): Readonly<Trouble> | undefined;
  /** The host is back: what failed there may be tried again at once. */
  forgive(host: string): void;
  /** Resolves when no removal of the decky from this host is under way. */
  settled(deckyId: string, host: string): Promise<void>;
  idle(): Promise<void>;
}

interface Trouble {
  readonly host: string;
  readonly message: string;
  readonly failures: number;
  /** It is not tried again before. */
  until: Date;
}

export interface RemovalsOptions {
  readonly store: Pick<Store, "situations" | "resolver">;
  readonly hosts: Pick<HostRegistry, "link" | "leaseOf">;
  readonly lanes: Lanes;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

const deadlineMs = 120_000;
/** Until a host is asked again. */
const againBackoff = { baseMs: 2_500, maxMs: 120_000 };
const nothing = () => undefined;

export function createRemovals({ store, hosts, lanes, log, stopping }: RemovalsOptions): Removals {
  const running = new Map<string, Promise<void>>();
  const troubles = new Map<string, Trouble>();

  const removeNow = async ({ id, scope, name }: RemovedDecky, host: string): Promise<void> => {
    const slot = await lanes.enter(host, stopping);
    try {
      // It may be wanted there again by now.
      const lease = hosts.leaseOf(host);
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
      await store.resolver.resolve({
        decky: { id },
        from: situation,
        decide: ({ decky }) => resolveRemoved(decky, host),
        lease: () => lease,
      });
    } finally {
      slot.release();
    }
  };

  const remove: Removals["remove"] = (decky, host) => {
    const key = `${decky.id}@${host}`;
    const present = running.get(key);
    if (present !== undefined) return present;
    const work = removeNow(decky, host)
      .then(
        () => void troubles.delete(key),
        (error: unknown) => {
          const failures = (troubles.get(key)?.failures ?? 0) + 1;
          const until = new Date(Date.now() + backoffMs(failures, againBackoff, Math.random));
          troubles.set(key, { host, message: error instanceof Error ? error.message : String(error), failures, until });
          throw error;
        },
      )
      .finally(() => running.delete(key));
    running.set(key, work);
    return work;
  };

  return {
    remove,
    removeAside(decky, host, again) {
      const key = `${decky.id}@${host}`;
      if (running.has(key)) return;
      const left = (troubles.get(key)?.until.getTime() ?? 0) - Date.now();
      if (left > 0) return again(left);
      remove(decky, host).then(
        () => again(0),
        (error: unknown) => {
          if (stopping.aborted) return;
          log.warn("a decky could not be removed from where it was", { decky: decky.name, host, err: error });
          again((troubles.get(key)?.until.getTime() ?? 0) - Date.now());
        },
      );
    },
    troubleWith: (deckyId, host) => troubles.get(`${deckyId}@${host}`),
    forgive(host) {
      for (const trouble of troubles.values()) if (trouble.host === host) trouble.until = new Date(0);
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
