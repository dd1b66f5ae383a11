import type { Logger } from "@decnet/common/logging/logger";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { Retention, RetentionLimits } from "./store/retention.ts";

const lookMs = 60_000;

/** Removes what is kept no longer, now and again, until aborted. */
export function keepWithin(retention: Retention, limits: RetentionLimits, log: Logger, signal: AbortSignal): Promise<void> {
  const look = async () => {
    const { dropped, ...removed } = await retention.sweep(limits, signal);
    if (dropped > 0) log.error("events were removed before the bus had them: more waited than are kept", { dropped });
    if (Object.values(removed).some((count) => count > 0)) log.info("what is kept no longer was removed", { ...removed });
  };
  return repeatUntilAborted(lookMs, signal, look, (error) => {
    if (!signal.aborted) log.warn("what is kept no longer was not removed", { err: error });
  });
}
