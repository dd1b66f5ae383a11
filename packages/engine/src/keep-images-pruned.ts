import type { Logger } from "@decnet/common/logging/logger";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { Engine } from "./engine.ts";

const everyMs = 6 * 3_600_000;

/** Removes superseded images a few times a day, on the master's host as on every worker. */
export function keepImagesPruned(engine: Pick<Engine, "pruneImages">, signal: AbortSignal, log: Logger): Promise<void> {
  return repeatUntilAborted(
    everyMs,
    signal,
    async () => {
      const removed = await engine.pruneImages();
      if (removed.length > 0) log.info("removed superseded images", { images: removed });
    },
    (error) => log.warn("superseded images were not removed", { err: error }),
  );
}
