import { randomBytes } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { type Bell, createBell } from "@decnet/common/runtime/signal-bell";
import { In } from "../persistence/conditions.ts";
import type { Database, Tx } from "../persistence/database.ts";
import { type OperationRow, Operations, type StepRow, Steps } from "../persistence/tables.ts";
import { insertRows, updateRows } from "../persistence/write.ts";
import type { OperationState } from "./types.ts";

export const openStates: readonly OperationState[] = ["pending", "running"];

export function hasEnded(operation: Pick<OperationRow, "state">): boolean {
  return !openStates.includes(operation.state);
}

export type NewOperation = Pick<OperationRow, "kind" | "actor"> & Partial<OperationRow>;

export interface OperationRecord {
  readonly row: OperationRow;
  readonly steps: readonly StepRow[];
  readonly children: readonly string[];
}

/** Operations are kept for good; a row that has ended never changes again. */
export interface OperationStore {
  make(operation: NewOperation): OperationRow;
  insert(tx: Tx, operation: OperationRow): Promise<void>;
  /** Changes an operation that has not ended. */
  update(tx: Tx, id: string, patch: Partial<OperationRow>): Promise<boolean>;
  openOf(tx: Tx, deckyId: string): Promise<OperationRow[]>;
  findByRequest(tx: Tx, actor: string, requestId: string): Promise<OperationRow | undefined>;
  get(id: string): Promise<OperationRecord>;
  recordStep(step: StepRow): Promise<void>;
  /** Wakes whoever waits for these operations; call it after the commit. */
  wake(ids: readonly string[]): void;
  /** Waits until the operation has ended, until `isEnough` says that waiting is of no use, or until the signal says that it is over. */
  waitForEnd(id: string, signal: AbortSignal, isEnough?: (row: OperationRow) => boolean): Promise<OperationRecord>;
  /** The record now, and again whenever something may have changed. Ends after the record of the end. */
  watch(id: string, signal: AbortSignal): AsyncGenerator<OperationRecord>;
}

const pollMs = 1_000;

export function createOperationStore(database: Database): OperationStore {
  const bells = new Map<string, Set<Bell>>();
  const store: OperationStore = {
    make: (operation) => ({
      id: `op-${randomBytes(5).toString("hex")}`,
      state: "pending",
      deckyId: null,
      scope: "fleet",
      deckyName: "",
      host: "local",
      service: "",
      revision: 0,
      reason: "",
      requestId: null,
      requestHash: "",
      onFailure: "undo",
      expectedPlan: "",
      parent: null,
      plan: null,
      receipt: null,
      error: null,
      cancelRequested: false,
      whenAway: "queue",
      createdAt: new Date(),
      startedAt: null,
      finishedAt: null,
      ...operation,
    }),
    insert: (tx, operation) => insertRows(tx, Operations, [operation]),
    async update(tx, id, patch) {
      return (await updateRows(tx, Operations, { id, state: In([...openStates]) }, patch)) > 0;
    },
    openOf: (tx, deckyId) =>
      tx
        .getRepository(Operations)
        .find({ where: { deckyId, state: In([...openStates]) }, order: { revision: "ASC", createdAt: "ASC" } }),
    async findByRequest(tx, actor, requestId) {
      return (await tx.getRepository(Operations).findOneBy({ actor, requestId })) ?? undefined;
    },
    get: (id) =>
      database.read(async (tx) => {
        const row = await tx.getRepository(Operations).findOneBy({ id });
        if (row === null)
          throw new AppError("OPERATION_NOT_FOUND", `there is no operation ${JSON.stringify(id)}`, {
            metadata: { operation: id },
            resource: { type: "operation", name: id },
          });
        const [steps, children] = await Promise.all([
          tx.getRepository(Steps).find({ where: { operationId: id }, order: { attempt: "ASC", number: "ASC" } }),
          tx.getRepository(Operations).find({ where: { parent: id }, order: { deckyName: "ASC" }, select: { id: true } }),
        ]);
        return { row, steps, children: children.map((child) => child.id) };
      }),
    async recordStep(step) {
      await database.read((tx) => tx.getRepository(Steps).save({ ...step, outputTail: [...step.outputTail] }));
      store.wake([step.operationId]);
    },
    wake(ids) {
      for (const id of ids) for (const bell of bells.get(id) ?? []) bell.ring();
    },
    async waitForEnd(id, signal, isEnough = () => false) {
      let last = await store.get(id);
      for await (const record of store.watch(id, signal)) {
        last = record;
        if (isEnough(record.row)) break;
      }
      return last;
    },
    async *watch(id, signal) {
      const bell = createBell();
      const mine = bells.get(id) ?? new Set();
      bells.set(id, mine.add(bell));
      try {
        for (;;) {
          const record = await store.get(id);
          yield record;
          if (hasEnded(record.row) || signal.aborted) return;
          await bell.wait(pollMs, signal);
        }
      } finally {
        mine.delete(bell);
        if (mine.size === 0) bells.delete(id);
      }
    },
  };
  return store;
}
