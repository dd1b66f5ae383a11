import type { Operation, OperationPatch } from "./operation.ts";

/**
 * Where an operation is. `cancelling` and `undoing` are running operations whose change is on its way back: asked for by an
 * operator, or after a failure.
 */
export type OperationPhase = Operation["state"] | "cancelling" | "undoing";

/**
 * From each phase, the phases that may follow; docs/states.md has the diagram. A phase leads to itself while its record is
 * completed. Ends lead nowhere.
 */
export const operationTransitions: Readonly<Record<OperationPhase, readonly OperationPhase[]>> = {
  pending: ["running", "cancelling", "undoing", "succeeded", "failed", "cancelled", "superseded"],
  running: ["cancelling", "undoing", "succeeded", "failed", "cancelled", "superseded"],
  cancelling: ["undoing", "succeeded", "failed", "cancelled", "superseded"],
  undoing: ["failed", "cancelled"],
  succeeded: [],
  failed: [],
  cancelled: [],
  superseded: [],
};

export function phaseOf({
  state,
  error,
  cancelRequested,
}: Pick<Operation, "state" | "error" | "cancelRequested">): OperationPhase {
  if (state !== "pending" && state !== "running") return state;
  if (error !== null) return "undoing";
  return cancelRequested ? "cancelling" : state;
}

/** The operation after a patch. Throws for a transition that the table does not have: that would be a defect. */
export function patchOperation(operation: Operation, patch: OperationPatch): Operation {
  const next = { ...operation, ...patch };
  const from = phaseOf(operation);
  const to = phaseOf(next);
  if (from !== to && !operationTransitions[from].includes(to))
    throw new Error(`operation ${operation.id} cannot go from ${from} to ${to}`);
  return next;
}
