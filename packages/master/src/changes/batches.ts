import type { Board } from "../convergence/board.ts";
import { type BatchRecord, emptyPlan, hasEnded, makeOperation, type Operation, type OperationError } from "../model/operation.ts";
import { violatedConstraint } from "../store/database-errors.ts";
import type { PartCounts } from "../store/operations.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, type FrontDoor, requested } from "./accept.ts";

export interface BatchCounts {
  readonly done: number;
  readonly failed: number;
  /** Stored and not over. */
  readonly queued: number;
  /** Never begun. */
  readonly skipped: number;
}

/**
 * Batches on record: who asked for how many changes, and how it ended. The changes are operations of their own, with the batch as
 * their parent.
 */
export interface Batches {
  /** The batch that was begun with this request id. Throws REQUEST_ID_REUSED. */
  find(request: ChangeRequest): Promise<Operation | undefined>;
  /** A dry run has no record: its id is empty. */
  begin(request: ChangeRequest, total: number): Promise<{ readonly row: Operation; readonly isRepeated: boolean }>;
  /**
   * Nothing more is begun, and so many changes never were; the batch ends with the last change that was stored, which may be now.
   */
  close(id: string, skipped: number): Promise<void>;
  /** How it stands, from its parts. */
  count(id: string): Promise<BatchCounts & { readonly total: number; readonly isClosed: boolean }>;
  /** Closes batches that could not be closed when it was their turn, because the database was away. */
  closeLeft(): Promise<void>;
  /** Closes batches that a master left in the middle when it ended: what was stored goes on, the rest was never begun. */
  closeOrphans(mayLive: (master: string) => boolean): Promise<void>;
}

const nothingBegun: BatchRecord = { total: 0, refused: 0, skipped: 0, isClosed: false };

/** `master` tells this run of a master from every other one. */
export function createBatches(store: Store, door: FrontDoor, board: Board, master: string): Batches {
  const operationOf = (request: ChangeRequest, total: number): Operation =>
    makeOperation({
      ...requested(request),
      kind: "batch",
      state: "running",
      startedAt: new Date(),
      plan: emptyPlan({ text: `${total} changes`, batch: { ...nothingBegun, total, master } }),
    });

  /** The lock makes it wait for whatever ends the batch now: the last of them does. */
  const close = async (id: string, skipped: number, why = ""): Promise<void> => {
    const hasEndedNow = await store.transaction(async (tx) => {
      const row = await store.operations.lock(tx, id);
      if (row === undefined || hasEnded(row) || row.plan === null) return false;
      const parts = await store.operations.countParts(tx, id);
      const begun = row.plan.batch ?? nothingBegun;
      // What is stored counts: a caller may have been told of a refusal because the database kept its answer.
      const refused = Math.max(0, begun.total - skipped - parts.done - parts.failed - parts.open);
      const batch = { ...begun, refused, skipped, isClosed: true };
      const counts = toCounts(parts, batch);
      const error = counts.failed + counts.skipped === 0 ? null : errorOf(id, counts, why);
      const end = { state: error === null ? "succeeded" : "failed", finishedAt: new Date() } as const;
      await store.operations.update(tx, [id], { plan: { ...row.plan, batch }, error, ...(counts.queued === 0 ? end : {}) });
      return counts.queued === 0;
    });
    if (hasEndedNow) board.ended([{ id, record: undefined }]);
  };

  /** Those that are being closed: how many of their changes were never begun. */
  const left = new Map<string, number>();

  return {
    find: door.findEarlier,
    async begin(request, total) {
      const row = operationOf(request, total);
      if (request.options.dryRun) return { row: { ...row, id: "" }, isRepeated: false };
      try {
        await store.operations.add(row);
        return { row, isRepeated: false };
      } catch (error) {
        const winner = violatedConstraint(error) === "operations_request" ? await door.findEarlier(request) : undefined;
        if (winner === undefined) throw error;
        return { row: winner, isRepeated: true };
      }
    },
    async close(id, skipped) {
      if (id === "") return;
      left.set(id, skipped);
      await close(id, skipped);
      left.delete(id);
    },
    async closeLeft() {
      for (const [id, skipped] of left) {
        await close(id, skipped);
        left.delete(id);
      }
    },
    async count(id) {
      const { row } = await store.operations.get(id);
      const batch = row.plan?.batch ?? nothingBegun;
      const counts = toCounts(await store.transaction((tx) => store.operations.countParts(tx, id)), batch);
      return { ...counts, total: batch.total, isClosed: batch.isClosed };
    },
    async closeOrphans(mayLive) {
      for (const { row, parts } of await store.operations.openBatches()) {
        const batch = row.plan?.batch ?? nothingBegun;
        if (batch.master !== undefined && mayLive(batch.master)) continue;
        const skipped = Math.max(0, batch.total - parts);
        await close(row.id, skipped, "the master ended in the middle of the batch: ");
      }
    },
  };
}

function toCounts({ done, failed, open }: PartCounts, { refused, skipped }: BatchRecord): BatchCounts {
  return { done, failed: refused + failed, queued: open, skipped };
}

function errorOf(id: string, { done, failed, queued, skipped }: BatchCounts, why: string): OperationError {
  const message = `${why}${done} done, ${failed} failed, ${queued} queued, ${skipped} not begun`;
  return { reason: "APPLY_FAILED", message, next: [`decnet op list --select parent=${id}`], outputTail: [], undone: false };
}
