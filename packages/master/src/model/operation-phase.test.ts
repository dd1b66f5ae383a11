import { expect, it } from "vitest";
import { makeOperation, type OperationPatch } from "./operation.ts";
import { type OperationPhase, operationTransitions, patchOperation, phaseOf } from "./operation-phase.ts";

const error = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: false } as const;

const plain = { error: null, cancelRequested: false } as const;
/** What makes an operation be in a phase. */
const patches: Readonly<Record<OperationPhase, OperationPatch>> = {
  pending: { ...plain, state: "pending" },
  running: { ...plain, state: "running" },
  cancelling: { ...plain, state: "running", cancelRequested: true },
  undoing: { ...plain, state: "running", error },
  succeeded: { ...plain, state: "succeeded" },
  failed: { ...plain, state: "failed", error },
  cancelled: { ...plain, state: "cancelled", cancelRequested: true },
  superseded: { ...plain, state: "superseded" },
};

const phases = Object.keys(patches) as OperationPhase[];
const pending = makeOperation({ createdAt: new Date(0), id: "op-1", kind: "add_service", actor: "ann" });
const inPhase = (phase: OperationPhase) => ({ ...pending, ...patches[phase] });

it.each(phases)("%s is told from the record", (phase) => expect(phaseOf(inPhase(phase))).toBe(phase));

it("an undo that is cancelled is still an undo: it ends as cancelled", () => {
  expect(phaseOf({ ...inPhase("undoing"), cancelRequested: true })).toBe("undoing");
});

it("a cancelled operation that has not begun is on its way back, too", () => {
  expect(phaseOf({ ...pending, cancelRequested: true })).toBe("cancelling");
});

const go = (from: OperationPhase, to: OperationPhase) => phaseOf(patchOperation(inPhase(from), patches[to]));
const pairs = phases.flatMap((from) =>
  phases.map((to) => ({ from, to, isLegal: from === to || operationTransitions[from].includes(to) })),
);

it.each(pairs.filter(({ isLegal }) => isLegal))("$from may lead to $to", ({ from, to }) => expect(go(from, to)).toBe(to));

it.each(pairs.filter(({ isLegal }) => !isLegal))("$from never leads to $to", ({ from, to }) => {
  expect(() => go(from, to)).toThrow(`operation op-1 cannot go from ${from} to ${to}`);
});

it.each(phases)("a record is completed in its phase: %s", (phase) => {
  expect(patchOperation(inPhase(phase), { revision: 7 }).revision).toBe(7);
});
