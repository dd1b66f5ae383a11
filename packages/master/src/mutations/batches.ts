import { AppError } from "@decnet/common/errors/app-error";
import type { OperationStore } from "../operations/operation-store.ts";
import type { Database } from "../persistence/database.ts";
import { Operations } from "../persistence/tables.ts";
import { updateRows } from "../persistence/write.ts";
import type { MutationOptions } from "./mutate.ts";

/** Batches on record: who asked for how many changes, and how it ended. The changes are operations of their own, with the batch as their parent. */
export interface Batches {
  /** A dry run has no record: its id is empty. */
  begin(batch: {
    readonly actor: string;
    readonly options: MutationOptions;
    readonly requestHash: string;
    readonly total: number;
  }): Promise<{ readonly id: string; readonly isRepeated: boolean }>;
  end(id: string, counts: { done: number; failed: number; queued: number; skipped: number }): Promise<void>;
  /** Batches of a master that ended in the middle: what was stored goes on, the rest was never begun. */
  endOrphans(): Promise<void>;
}

export function createBatches(database: Database, operations: OperationStore): Batches {
  return {
    async begin({ actor, options, requestHash, total }) {
      if (options.dryRun) return { id: "", isRepeated: false };
      return database.transaction(async (tx) => {
        const earlier = options.requestId === "" ? undefined : await operations.findByRequest(tx, actor, options.requestId);
        if (earlier !== undefined && earlier.requestHash !== requestHash)
          throw new AppError("REQUEST_ID_REUSED", `the request id ${options.requestId} was used for another request`, {
            metadata: { operation: earlier.id },
          });
        if (earlier !== undefined) return { id: earlier.id, isRepeated: true };
        const operation = operations.make({
          kind: "batch",
          actor,
          state: "running",
          startedAt: new Date(),
          reason: options.reason,
          requestId: options.requestId === "" ? null : options.requestId,
          requestHash,
          onFailure: options.onFailure,
          plan: { steps: [], untouched: [], risks: [], baseRevision: 0, digest: "", text: `${total} changes`, changes: [] },
        });
        await operations.insert(tx, operation);
        return { id: operation.id, isRepeated: false };
      });
    },
    async end(id, { done, failed, queued, skipped }) {
      if (id === "") return;
      const message = `${done} done, ${failed} failed, ${queued} queued, ${skipped} not begun`;
      await database.read((tx) =>
        operations.update(tx, id, {
          state: failed > 0 || skipped > 0 ? "failed" : "succeeded",
          error:
            failed > 0 || skipped > 0
              ? { reason: "APPLY_FAILED", message, next: [`decnet op list --select parent=${id}`], outputTail: [], undone: false }
              : null,
          finishedAt: new Date(),
        }),
      );
      operations.wake([id]);
    },
    async endOrphans() {
      const error = {
        reason: "APPLY_FAILED",
        message: "the master ended in the middle of the batch; changes that were stored go on, the others were not begun",
        next: [],
        outputTail: [],
        undone: false,
      } as const;
      await database.read((tx) =>
        updateRows(tx, Operations, { kind: "batch", state: "running" }, { state: "failed", error, finishedAt: new Date() }),
      );
    },
  };
}
