import { paceAfter } from "@decnet/common/runtime/repair-pace";
import { repairInVain } from "@decnet/engine/diagnose/repair-verdict";
import type { HostOutcome } from "@decnet/engine/wire/outcome";
import { type Decky, type DeckyPatch, isSameMachine, labelOf, observedOf } from "../model/decky.ts";
import { operationEvents, stateEvent } from "../model/events.ts";
import type { Operation, OperationError, OperationPatch } from "../model/operation.ts";
import { sameServices } from "../model/services.ts";
import type { DecisionContext } from "./context.ts";
import { culpritsOf, endOf } from "./outcome.ts";
import { type OperationChange, type Resolution, resolution } from "./resolution.ts";
import { reasonOfCancel } from "./resolve-cancel.ts";
import { desiredServices, type Situation, servicesAt } from "./situation.ts";
import { type Attempt, decideUndo, type Undo } from "./undo.ts";

/** How one apply ended. Interrupted: an operator cancelled while it ran, or before it began. */
export type AttemptEnd =
  | { readonly kind: "done"; readonly outcome: HostOutcome }
  | { readonly kind: "refused"; readonly error: OperationError }
  | { readonly kind: "interrupted" };

/** What an ended apply means for the decky and for the operations that it was made for. Pure. */
export function resolveAttempt(situation: Situation, attempt: Attempt, end: AttemptEnd, context: DecisionContext): Resolution {
  if (end.kind === "done" && end.outcome.failure === undefined) return resolveApplied(situation, attempt, end.outcome, context);
  return resolveFailed(situation, attempt, end, context);
}

/** The attempt is what was seen running: operations up to it have ended. */
function resolveApplied(situation: Situation, attempt: Attempt, outcome: HostOutcome, context: DecisionContext): Resolution {
  const { decky, open } = situation;
  const { now, catalog } = context;
  const covered = open.filter((operation) => operation.revision <= attempt.revision);
  const operations = covered.map((operation): OperationChange => {
    const unhelped = operation.kind === "repair" && operation.error === null ? unhelpedBy(attempt, outcome) : undefined;
    const error = unhelped ?? (operation.error === null ? null : { ...operation.error, undone: operation.onFailure === "undo" });
    const state = unhelped === undefined ? endState(situation, attempt, operation) : "failed";
    return { operation, patch: { state, error, receipt: outcome.receipt, finishedAt: now } };
  });
  const ends = operations.flatMap(({ operation, patch }) =>
    operationEvents({ ...operation, ...patch }, attempt.services, catalog),
  );
  // After a move, the next round removes the decky from where it was.
  const again = covered.length < open.length || decky.pendingRemovals.length > 0;
  if (decky.leaving && attempt.decky.leaving)
    return resolution("torn down", {
      decky: { kind: "gone" },
      operations,
      events: [...ends, ...stateEvent(decky, "gone", "torn down")],
      again,
    });
  // It is to be somewhere else by now, or is wanted again after all.
  if (decky.host !== attempt.decky.host || attempt.decky.leaving) {
    const seen = attempt.decky.leaving ? {} : { appliedRevision: attempt.revision, ...seenAs(attempt) };
    const patch: DeckyPatch = { ...seen, renderedRevision: 0, state: "changing" };
    const decision = { decky: { kind: "patch", patch }, operations, events: ends, again: true } as const;
    return resolution("applied where it no longer belongs", decision);
  }
  const { judged } = outcome;
  const message = judged?.message ?? "";
  const isAll = decky.desiredRevision === attempt.revision || isAllThere(situation, attempt, covered);
  const state = isAll ? (judged?.state ?? "pending") : "changing";
  const patch: DeckyPatch = {
    appliedRevision: isAll ? decky.desiredRevision : attempt.revision,
    renderedRevision: attempt.revision,
    ...seenAs(attempt),
    state,
    message,
    observed: judged === undefined ? null : observedOf(judged),
    observedAt: now,
    ...paceOf(decky, operations, context),
    repairPaused: false,
  };
  return resolution("applied", {
    decky: { kind: "patch", patch },
    operations,
    events: [...ends, ...stateEvent(decky, state, message)],
    again: again || !isAll,
  });
}

/** A repair is known by what is seen afterwards. */
function unhelpedBy(attempt: Attempt, { plan, judged }: HostOutcome): OperationError | undefined {
  const why = repairInVain(plan, judged);
  if (why === undefined) return undefined;
  const message = `the repair did not help: ${why}`;
  return { reason: "APPLY_FAILED", message, next: nextOf(attempt), outputTail: [], undone: false };
}

/** When it may be repaired again, after what these operations came to. */
function paceOf(decky: Decky, ends: readonly OperationChange[], { now, random }: DecisionContext): DeckyPatch {
  const repairs = ends.filter(({ operation }) => operation.kind === "repair");
  const unhelped = repairs.find(({ operation, patch }) => patch.state === "failed" && operation.error === null);
  if (unhelped !== undefined) return paceAfter(decky, unhelped.patch.error?.message ?? "the repair did not help", now, random);
  const isDrift = repairs.length > 0 && ends.every(({ operation }) => operation.actor === "drift");
  return isDrift ? paceAfter(decky, "", now, random) : { failures: 0, retryAt: null, retryCause: "" };
}

function seenAs({ decky: { identity, attachments, host } }: Attempt): DeckyPatch {
  return { lastHost: host, appliedIdentity: { identity, attachments } };
}

/** A later revision that is the same again, and that nobody waits for: what was changed in between was cancelled. */
function isAllThere(situation: Situation, attempt: Attempt, covered: readonly Operation[]): boolean {
  return (
    covered.length === situation.open.length &&
    sameServices(desiredServices(situation), attempt.services) &&
    isSameMachine(attempt.decky, situation.decky)
  );
}

function endState(
  situation: Situation,
  attempt: Attempt,
  operation: Operation,
): "succeeded" | "superseded" | "failed" | "cancelled" {
  if (operation.error !== null) return operation.cancelRequested ? "cancelled" : "failed";
  // Nothing is left of what it asked for.
  if (attempt.decky.leaving && asksForDecky.has(operation.kind)) return "superseded";
  const isEarlier = operation.service !== "" && operation.revision !== attempt.revision;
  // What is torn down has no service: one that was to be added was never there.
  const applied = attempt.decky.leaving ? { ...attempt, services: [] } : attempt;
  return endOf(operation, applied, isEarlier ? servicesAt(situation, operation.revision) : []);
}

/** What is about a decky as a whole, and wants it to be there. */
const asksForDecky: ReadonlySet<Operation["kind"]> = new Set([
  "deploy_decky",
  "change_decky",
  "move_decky",
  "restore_revision",
  "rotate_services",
]);

/**
 * A step failed, or the apply was interrupted. The failed change is taken back in a new revision, which the next run applies; the
 * operation ends when that was seen. What cannot be taken back ends the operation at once.
 */
function resolveFailed(situation: Situation, attempt: Attempt, end: AttemptEnd, context: DecisionContext): Resolution {
  const { open } = situation;
  const outcome = end.kind === "done" ? end.outcome : undefined;
  const slug = outcome?.failure?.step.service ?? "";
  const isInterrupted = end.kind === "interrupted";
  const culprits = isInterrupted
    ? open.filter((operation) => operation.cancelRequested && operation.error === null)
    : culpritsOf(open, attempt.revision, slug);
  const asked = culprits.map(({ service }) => service).filter((service) => service !== "");
  const slugs = isInterrupted ? culprits.map(({ service }) => service) : slug === "" ? [""] : [...new Set([slug, ...asked])];
  const undo = decideUndo(situation, attempt, culprits, { slugs, isInterrupted }, context.catalog);
  const error = errorOf(attempt, end);
  return "patch" in undo
    ? resolveUndo(situation, culprits, undo, error, outcome)
    : resolveEnd(situation, culprits, undo.kind, error, outcome, context);
}

function resolveUndo(
  { decky, open }: Situation,
  culprits: readonly Operation[],
  undo: Extract<Undo, { patch: DeckyPatch }>,
  error: OperationError,
  outcome: HostOutcome | undefined,
): Resolution {
  const fresh = new Set(culprits.filter((operation) => operation.error === null));
  const [culprit] = fresh;
  if (culprit === undefined) throw new Error("an undo is of an operation");
  const number = decky.desiredRevision + 1;
  const { host } = undo.patch;
  const operations = open.flatMap((operation): OperationChange[] => {
    const isUndone = fresh.has(operation) || operation.error !== null;
    const patch: OperationPatch = {
      ...(fresh.has(operation) ? { error, ...(outcome === undefined ? {} : { receipt: outcome.receipt }) } : {}),
      // What is being undone ends with the new revision; what was in the same apply and did not fail goes on.
      ...(isUndone ? { revision: number } : {}),
      ...(host === undefined ? {} : { host }),
    };
    return Object.keys(patch).length === 0 ? [] : [{ operation, patch }];
  });
  return resolution(undo.kind, {
    decky: { kind: "patch", patch: { ...undo.patch, desiredRevision: number } },
    revision: {
      deckyId: decky.id,
      number,
      services: undo.services,
      ...whoTakesBack(culprit),
      operationId: culprit.id,
    },
    operations,
    again: true,
  });
}

/** A change that was cancelled is taken back by whoever cancelled it; one that failed, for whoever asked for it. */
function whoTakesBack({ id, actor, cancelledBy, error }: Operation): { actor: string; reason: string } {
  if (cancelledBy === null || error !== null) return { actor, reason: `undo of ${id}` };
  return { actor: cancelledBy.actor, reason: reasonOfCancel(id, cancelledBy.reason) };
}

function resolveEnd(
  situation: Situation,
  culprits: readonly Operation[],
  kind: "kept" | "undo_failed" | "nothing",
  error: OperationError,
  outcome: HostOutcome | undefined,
  { now, random }: DecisionContext,
): Resolution {
  const { decky } = situation;
  const operations = culprits.map((operation): OperationChange => {
    const first = operation.error;
    const message = first === null ? error.message : `${first.message}; the undo failed too: ${error.message}`;
    const patch: OperationPatch = {
      state: operation.cancelRequested ? "cancelled" : "failed",
      error: { ...(first ?? error), message, undone: false },
      finishedAt: now,
      ...(outcome === undefined ? {} : { receipt: outcome.receipt }),
    };
    return { operation, patch };
  });
  // What was interrupted was not looked at since, and what could not be observed is not known.
  const unseen = error.reason === "OPERATION_CANCELLED" || error.reason === "NOT_OBSERVED" ? "unknown" : "failed";
  const state = outcome?.judged?.state === "running" ? "degraded" : (outcome?.judged?.state ?? unseen);
  const patch: DeckyPatch = {
    state,
    message: error.message,
    repairPaused: kind === "kept",
    ...paceAfter(decky, error.message === "" ? error.reason : error.message, now, random),
  };
  const desired = desiredServices(situation);
  const ends = operations.flatMap(({ operation, patch: end }) => operationEvents({ ...operation, ...end }, desired));
  return resolution(kind, {
    decky: { kind: "patch", patch },
    operations,
    events: [...ends, ...stateEvent(decky, state, error.message)],
    again: true,
  });
}

function errorOf(attempt: Attempt, end: AttemptEnd): OperationError {
  if (end.kind === "refused") return end.error;
  if (end.kind === "interrupted")
    return { reason: "OPERATION_CANCELLED", message: "cancelled", next: [], outputTail: [], undone: false };
  const { failure } = end.outcome;
  const where = attempt.open.some(({ kind }) => kind === "move_decky") ? `on ${attempt.decky.host}: ` : "";
  return {
    reason: failure?.reason ?? "APPLY_FAILED",
    message: `${where}${failure?.message ?? ""}`,
    next: nextOf(attempt),
    outputTail: failure?.outputTail ?? [],
    undone: false,
  };
}

function nextOf({ decky, open }: Attempt): string[] {
  return [`decnet decky get ${labelOf(decky)}`, `decnet op get ${open.at(-1)?.id ?? ""} --output-log`];
}
