import { randomBytes } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { type Bell, createBell } from "@decnet/common/runtime/signal-bell";
import type { OperationState, PlanRecord } from "../model/operation.ts";
import { In, IsNull, Not } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { type OperationRow, Operations, type StepRow, Steps } from "./tables.ts";
import { insertRows, updateRows, upsertRows } from "./write.ts";

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

/** What whoever waits for an operation is shown of it meanwhile. */
export type WaitedFor = Pick<OperationRow, "state" | "deckyId" | "host">;
const waitedFor = { state: true, deckyId: true, host: true } as const satisfies Record<keyof WaitedFor, true>;

/** Operations are kept for good; a row that has ended never changes again. */
export interface OperationStore {
  make(operation: NewOperation): OperationRow;
  insert(tx: Tx, operation: OperationRow): Promise<void>;
  insertAll(tx: Tx, rows: readonly OperationRow[]): Promise<void>;
  /** Changes an operation that has not ended. */
  update(tx: Tx, id: string, patch: Partial<OperationRow>): Promise<boolean>;
  openOf(tx: Tx, deckyId: string): Promise<OperationRow[]>;
  /** Ids of the deckies of a host that have operations which have not ended. */
  openDeckies(tx: Tx, host: string): Promise<ReadonlySet<string>>;
  /** Which of these deckies have operations that have not ended. */
  openAmong(tx: Tx, deckyIds: readonly string[]): Promise<ReadonlySet<string>>;
  findByRequest(tx: Tx, actor: string, requestId: string): Promise<OperationRow | undefined>;
  /** The parts of an operation that have not ended. */
  openParts(id: string): Promise<WaitedFor[]>;
  get(id: string): Promise<OperationRecord>;
  /** Stores a plan for an operation that has not ended. */
  recordPlan(id: string, plan: PlanRecord): Promise<void>;
  /** Stores steps of one operation, each in its newest state. */
  recordSteps(steps: readonly StepRow[]): Promise<void>;
  /** Number of the newest attempt that has steps; 0 when there is none. */
  lastAttempt(id: string): Promise<number>;
  /** Wakes whoever waits for the end of these operations or watches them; call it after the commit that ended them. */
  wake(ids: readonly string[]): void;
  /** Waits until the operation has ended, until `isEnough` says that waiting is of no use, or until the signal says that it is over. */
  waitForEnd(
    id: string,
    signal: AbortSignal,
    isEnough?: (row: WaitedFor) => boolean | Promise<boolean>,
  ): Promise<OperationRecord>;
  /** The record now, and again whenever something may have changed. Ends after the record of the end. */
  watch(id: string, signal: AbortSignal): AsyncGenerator<OperationRecord>;
}

const pollMs = 1_000;

export function createOperationStore(database: Database): OperationStore {
  /** For the end, and for every step: whoever waits for the end is not woken for each step. */
  const waiting: Bells = new Map();
  const watching: Bells = new Map();
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
    insertAll: (tx, rows) => insertRows(tx, Operations, rows),
    async update(tx, id, patch) {
      return (await updateRows(tx, Operations, { id, state: In([...openStates]) }, patch)) > 0;
    },
    openOf: (tx, deckyId) =>
      tx
        .getRepository(Operations)
        .find({ where: { deckyId, state: In([...openStates]) }, order: { revision: "ASC", createdAt: "ASC" } }),
    async openDeckies(tx, host) {
      const where = { host, state: In([...openStates]), deckyId: Not(IsNull()) };
      const rows = await tx.getRepository(Operations).find({ where, select: { deckyId: true } });
      return new Set(rows.flatMap((row) => row.deckyId ?? []));
    },
    async openAmong(tx, deckyIds) {
      if (deckyIds.length === 0) return new Set();
      const where = { deckyId: In([...deckyIds]), state: In([...openStates]) };
      const rows = await tx.getRepository(Operations).find({ where, select: { deckyId: true } });
      return new Set(rows.flatMap((row) => row.deckyId ?? []));
    },
    async findByRequest(tx, actor, requestId) {
      return (await tx.getRepository(Operations).findOneBy({ actor, requestId })) ?? undefined;
    },
    openParts: (id) =>
      database.read((tx) =>
        tx.getRepository(Operations).find({ where: { parent: id, state: In([...openStates]) }, select: waitedFor }),
      ),
    async get(id) {
      const [row, steps, children] = await database.read((tx) =>
        Promise.all([
          tx.getRepository(Operations).findOneBy({ id }),
          tx.getRepository(Steps).find({ where: { operationId: id }, order: { attempt: "ASC", number: "ASC" } }),
          tx.getRepository(Operations).find({ where: { parent: id }, order: { deckyName: "ASC" }, select: { id: true } }),
        ]),
      );
      if (row === null)
        throw new AppError("OPERATION_NOT_FOUND", `there is no operation ${JSON.stringify(id)}`, {
          metadata: { operation: id },
          resource: { type: "operation", name: id },
        });
      return { row, steps, children: children.map((child) => child.id) };
    },
    async recordPlan(id, plan) {
      await database.read((tx) => store.update(tx, id, { plan }));
    },
    async recordSteps(steps) {
      await database.read((tx) => upsertRows(tx, Steps, steps, ["operationId", "attempt", "number"]));
      ring(
        watching,
        steps.map((step) => step.operationId),
      );
    },
    lastAttempt: (id) =>
      database.read(async (tx) => (await tx.getRepository(Steps).maximum("attempt", { operationId: id })) ?? 0),
    wake(ids) {
      ring(waiting, ids);
      ring(watching, ids);
    },
    async waitForEnd(id, signal, isEnough = () => false) {
      for await (const _ of rings(waiting, id, signal)) {
        const row = await database.read((tx) => tx.getRepository(Operations).findOne({ where: { id }, select: waitedFor }));
        if (row === null || hasEnded(row) || (await isEnough(row))) break;
      }
      return store.get(id);
    },
    async *watch(id, signal) {
      for await (const _ of rings(watching, id, signal)) {
        const record = await store.get(id);
        yield record;
        if (hasEnded(record.row)) return;
      }
    },
  };
  return store;
}

type Bells = Map<string, Set<Bell>>;

function ring(bells: Bells, ids: Iterable<string>): void {
  for (const id of new Set(ids)) for (const bell of bells.get(id) ?? []) bell.ring();
}

/** Yields at once, then after each ring or a while without one. Ends when aborted, at the earliest after the first. */
async function* rings(bells: Bells, id: string, signal: AbortSignal): AsyncGenerator<void> {
  const bell = createBell();
  const mine = bells.get(id) ?? new Set();
  bells.set(id, mine.add(bell));
  try {
    for (;;) {
      yield;
      if (signal.aborted) return;
      await bell.wait(pollMs, signal);
    }
  } finally {
    mine.delete(bell);
    if (mine.size === 0) bells.delete(id);
  }
}
