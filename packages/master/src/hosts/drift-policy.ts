import type { Logger } from "@decnet/common/logging/logger";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { HostRegistry } from "../links/host-registry.ts";
import type { DriftPolicy } from "../model/decky.ts";

/** What the fleet says about drift, for the answers to agents. */
export interface KnownDriftPolicy {
  /** As it is stored now. */
  read(): Promise<DriftPolicy>;
  /** As it was read last, a few seconds ago at most. */
  recent(): Promise<DriftPolicy>;
}

export interface DriftPolicyOptions {
  readonly store: { readonly fleets: { driftPolicy(): Promise<DriftPolicy> } };
  readonly registry: Pick<HostRegistry, "names" | "connected">;
  readonly log: Pick<Logger, "error">;
  readonly stopping: AbortSignal;
  readonly everyMs?: number;
}

/**
 * Reads the policy every few seconds, for all hosts together. When it has changed, the agents are asked to report, and so are
 * told.
 */
export function watchDriftPolicy({ store, registry, log, stopping, everyMs = 5_000 }: DriftPolicyOptions): KnownDriftPolicy {
  let known: DriftPolicy | undefined;
  const read = async (): Promise<DriftPolicy> => {
    const stored = await store.fleets.driftPolicy();
    const isChanged = known !== undefined && known !== stored;
    known = stored;
    if (isChanged) for (const name of registry.names) registry.connected(name)?.reportNow();
    return stored;
  };
  void repeatUntilAborted(everyMs, stopping, read, (error) => {
    if (!stopping.aborted) log.error("the fleet's drift policy could not be read", { err: error });
  });
  return { read, recent: async () => known ?? read() };
}
