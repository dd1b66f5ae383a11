import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import type { ParentStore } from "../store/parents.ts";
import type { Board } from "./board.ts";
import type { FailedEdits } from "./failed-edits.ts";

/**
 * Ends operations about many deckies after their parts; together, so that thousands of parts do not each look for their siblings.
 */
export interface Parents {
  /** Parts of these have ended. */
  note(parents: Iterable<string | null>): void;
  /** Resolves when all that was noted has been looked at. */
  idle(): Promise<void>;
}

const everyMs = 50;
const retryMs = 1_000;

export function createParents(
  store: Pick<ParentStore, "end">,
  edits: FailedEdits,
  board: Pick<Board, "ended">,
  log: Pick<Logger, "error">,
  stopping: AbortSignal,
): Parents {
  const noted = new Set<string>();
  let working: Promise<void> | undefined;

  const work = async () => {
    while (noted.size > 0) {
      await delay(everyMs, undefined, { signal: stopping }).catch(() => undefined);
      const ids = [...noted];
      noted.clear();
      let hasFailed = false;
      // Before they end: some of them are taken back first. One that cannot be keeps no other from ending.
      for (const look of [edits.takeBack, store.end])
        try {
          board.ended((await look(ids)).map((id) => ({ id, record: undefined })));
        } catch (error) {
          // The next start of the master ends what is left.
          if (stopping.aborted) return;
          log.error("operations were not ended after their parts", { err: error });
          hasFailed = true;
        }
      if (!hasFailed) continue;
      for (const id of ids) noted.add(id);
      await delay(retryMs, undefined, { signal: stopping }).catch(() => undefined);
    }
    // In the same turn as the last look: whatever is noted from here on begins again.
    working = undefined;
  };

  return {
    note(parents) {
      for (const parent of parents) if (parent !== null) noted.add(parent);
      if (noted.size > 0) working ??= work();
    },
    idle: async () => working,
  };
}
