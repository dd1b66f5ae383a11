import type { Logger } from "@decnet/common/logging/logger";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { HostRegistry } from "../links/host-registry.ts";
import type { DriftPolicy } from "../model/decky.ts";
import type { Store } from "../store/store.ts";

export interface DriftPolicyOptions {
  readonly store: Pick<Store, "fleets">;
  readonly registry: Pick<HostRegistry, "names" | "connected">;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

/** What is told of the fleet's policy may be so old. */
const everyMs = 5_000;

/** What the fleet says about drift, for the answers to reports: read for all hosts together. When it has changed, the agents are asked to report, and so are told. */
export function watchDriftPolicy({ store, registry, log, stopping }: DriftPolicyOptions): () => Promise<DriftPolicy> {
  let known: DriftPolicy | undefined;
  const read = async () => {
    const before = known;
    known = await store.fleets.driftPolicy();
    if (before === undefined || before === known) return;
    for (const name of registry.names) registry.connected(name)?.reportNow();
  };
  void repeatUntilAborted(everyMs, stopping, read, (error) => {
    if (!stopping.aborted) log.error("the fleet's drift policy could not be read", { err: error });
  });
  return async () => known ?? store.fleets.driftPolicy();
}
