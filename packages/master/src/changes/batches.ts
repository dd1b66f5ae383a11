import { AppError } from "@decnet/common/errors/app-error";
import type { BatchRecord, OperationError } from "../model/operation.ts";
import { In } from "../store/conditions.ts";
import { type Database, type Tx, violatedConstraint } from "../store/database.ts";
import { hasEnded, type OperationStore, openStates } from "../store/operations.ts";
import { type OperationRow, Operations } from "../store/tables.ts";
import type { MutationOptions } from "./mutate.ts";

export interface BatchCounts {
  readonly done: number;
  readonly failed: number;
  /** Stored and not over. */
  readonly queued: number;
  /** Never begun. */
  readonly skipped: number;
}

export interface BatchRequest {
  readonly actor: string;
  readonly options: MutationOptions;
  readonly requestHash: string;
}

/** Batches on record: who asked for how many changes, and how it ended. The changes are operations of their own, with the batch as their parent. */
export interface Batches {
  /** The batch that was begun with this request id. Throws REQUEST_ID_REUSED. */
  find(request: BatchRequest): Promise<string | undefined>;
  /** A dry run has no record: its id is empty. */
  begin(request: BatchRequest & { readonly total: number }): Promise<{ readonly id: string; readonly isRepeated: boolean }>;
  /** Nothing more is begun; the batch ends with the last change that was stored, which may be now. */
  close(id: string, how: { readonly refused: number; readonly skipped: number }): Promise<void>;
  /** How it stands, from its parts. */
  count(id: string): Promise<BatchCounts & { readonly total: number; readonly isClosed: boolean }>;
  /** Closes batches of a master that ended in the middle: what was stored goes on, the rest was never begun. */
  closeOrphans(): Promise<void>;
}

const nothingBegun: BatchRecord = { total: 0, refused: 0, skipped: 0, isClosed: false };

export function createBatches(database: Database, operations: OperationStore): Batches {
  const find = async (tx: Tx, { actor, options, requestHash }: BatchRequest): Promise<string | undefined> => {
    const earlier = options.requestId === "" ? undefined : await operations.findByRequest(tx, actor, options.requestId);
    if (earlier !== undefined && earlier.requestHash !== requestHash)
      throw new AppError("REQUEST_ID_REUSED", `the request id ${options.requestId} was used for another request`, {
        metadata: { operation: earlier.id },
      });
    return earlier?.id;
  };

  const insert = async (request: BatchRequest & { readonly total: number }): Promise<string> => {
    const { actor, options, requestHash, total } = request;
    const noPlan = { steps: [], untouched: [], risks: [], baseRevision: 0, digest: "", changes: [] };
    const operation = operations.make({
      kind: "batch",
      actor,
      state: "running",
      startedAt: new Date(),
      reason: options.reason,
      requestId: options.requestId === "" ? null : options.requestId,
      requestHash,
      onFailure: options.onFailure,
      whenAway: options.whenAway,
      plan: { ...noPlan, text: `${total} changes`, batch: { ...nothingBegun, total } },
    });
    await database.transaction((tx) => operations.insert(tx, operation));
    return operation.id;
  };

  /** The lock makes it wait for parts that end now, and those for it: whoever is last ends the batch. */
  const close = async (id: string, { refused, skipped }: { refused: number; skipped: number }, why = ""): Promise<void> => {
    const hasEndedNow = await database.transaction(async (tx) => {
      const row = await tx.getRepository(Operations).findOne({ where: { id }, lock: { mode: "for_no_key_update" } });
      if (row === null || hasEnded(row) || row.plan === null) return false;
      const batch = { ...(row.plan.batch ?? nothingBegun), refused, skipped, isClosed: true };
      const counts = await countParts(tx, id, batch);
      const error = counts.failed + counts.skipped === 0 ? null : errorOf(id, counts, why);
      const end = { state: error === null ? "succeeded" : "failed", finishedAt: new Date() } as const;
      await operations.update(tx, id, { plan: { ...row.plan, batch }, error, ...(counts.queued === 0 ? end : {}) });
      return counts.queued === 0;
    });
    if (hasEndedNow) operations.wake([id]);
  };

  return {
    find: (request) => database.read((tx) => find(tx, request)),
    async begin(request) {
      if (request.options.dryRun) return { id: "", isRepeated: false };
      try {
        return { id: await insert(request), isRepeated: false };
      } catch (error) {
        if (violatedConstraint(error) !== "operations_request") throw error;
        const id = await database.read((tx) => find(tx, request));
        if (id === undefined) throw error;
        return { id, isRepeated: true };
      }
    },
    async close(id, how) {
      if (id !== "") await close(id, how);
    },
    async count(id) {
      const { row } = await operations.get(id);
      const batch = row.plan?.batch ?? nothingBegun;
      const counts = await database.read((tx) => countParts(tx, id, batch));
      return { ...counts, total: batch.total, isClosed: batch.isClosed };
    },
    async closeOrphans() {
      const rows = await database.read((tx) => tx.getRepository(Operations).findBy({ kind: "batch", state: "running" }));
      for (const { id, plan } of rows) {
        if (plan?.batch?.isClosed === true) continue;
        const stored = await database.read((tx) => tx.getRepository(Operations).countBy({ parent: id }));
        const skipped = Math.max(0, (plan?.batch?.total ?? stored) - stored);
        await close(id, { refused: 0, skipped }, "the master ended in the middle of the batch: ");
      }
    },
  };
}

async function countParts(tx: Tx, id: string, { refused, skipped }: BatchRecord): Promise<BatchCounts> {
  const count = (states: readonly OperationRow["state"][]) =>
    tx.getRepository(Operations).countBy({ parent: id, state: In([...states]) });
  return {
    done: await count(["succeeded", "superseded"]),
    failed: refused + (await count(["failed", "cancelled"])),
    queued: await count(openStates),
    skipped,
  };
}

function errorOf(id: string, { done, failed, queued, skipped }: BatchCounts, why: string): OperationError {
  const message = `${why}${done} done, ${failed} failed, ${queued} queued, ${skipped} not begun`;
  return { reason: "APPLY_FAILED", message, next: [`decnet op list --select parent=${id}`], outputTail: [], undone: false };
}
