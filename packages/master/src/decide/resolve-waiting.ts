import type { AppError } from "@decnet/common/errors/app-error";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { mayRepairAt } from "@decnet/common/runtime/repair-pace";
import { isUnapplied } from "../model/decky.ts";
import { operationEvents, stateEvent } from "../model/events.ts";
import { makeOperation, type Operation, type OperationError } from "../model/operation.ts";
import type { DecisionContext } from "./context.ts";
import { type OperationChange, type Resolution, resolution } from "./resolution.ts";
import { desiredServices, goodServices, type Situation } from "./situation.ts";
import { type Attempt, changesIdentity, identityBack, moveBack, revertSlugs } from "./undo.ts";

const retryBackoff = { baseMs: 500, maxMs: 30_000 };

/**
 * The apply begins: what was stored as pending runs now. Undefined when nothing is to be done, or all that is on record already.
 */
export function resolveBegin({ decky, open }: Situation, { now }: DecisionContext): Resolution | undefined {
  const operations = open.flatMap((operation): OperationChange[] => {
    const begun = operation.state === "pending" ? ({ state: "running", startedAt: now } as const) : {};
    // What was in the middle of an apply when its decky moved goes on where that is now.
    const moved = operation.host === decky.host ? {} : { host: decky.host };
    const patch = { ...begun, ...moved };
    return Object.keys(patch).length === 0 ? [] : [{ operation, patch }];
  });
  const lastOperation = open.at(-1)?.id ?? null;
  if (open.length === 0) return undefined;
  if (operations.length === 0 && decky.state === "changing" && decky.lastOperation === lastOperation) return undefined;
  return resolution("begins", {
    decky: { kind: "patch", patch: { state: "changing", lastOperation } },
    operations,
    events: stateEvent(decky, "changing", ""),
  });
}

/** Nobody changes the decky, and what is wanted is not there: a repair applies it. Undefined when that is not so any more. */
export function resolveRetry(
  { decky, open }: Situation,
  { now, makeId }: Pick<DecisionContext, "now" | "makeId">,
): Resolution | undefined {
  if (open.length > 0 || !isUnapplied(decky) || decky.repairPaused || !mayRepairAt(decky, now)) return undefined;
  const what = decky.leaving ? "the teardown" : `revision ${decky.desiredRevision}`;
  const retry = makeOperation({
    id: makeId(),
    kind: "repair",
    actor: "retry",
    reason: `${what} again${decky.retryCause === "" ? "" : `: ${decky.retryCause}`}`,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: decky.host,
    revision: decky.desiredRevision,
    createdAt: now,
  });
  return resolution("tried again", { opens: [retry], again: true });
}

/** The host or its engine is away: what is wanted stays wanted and is tried again, with growing pauses. */
export function resolvePostponed({ decky }: Situation, message: string): Resolution {
  return resolution("postponed", {
    decky: { kind: "patch", patch: { failures: decky.failures + 1, state: "unknown", message } },
    events: stateEvent(decky, "unknown", message),
  });
}

export function retryDelayMs({ failures }: Situation["decky"], { random }: Pick<DecisionContext, "random">): number {
  return backoffMs(failures, retryBackoff, random);
}

/** An operation whose caller does not want to wait for a host that is away. */
export function refusesToWait(operation: Operation): boolean {
  return operation.whenAway === "refuse" && operation.error === null;
}

/**
 * The host went away in the middle, and who asked does not want to wait for it: their operations end as failed now. What the host
 * made of them is not known; a new revision without them waits for the host as an operation of its own.
 */
export function resolveGiveUp(situation: Situation, attempt: Attempt, error: AppError, context: DecisionContext): Resolution {
  const { decky, open } = situation;
  const quitters = open.filter(refusesToWait);
  const isUntouched = quitters.every(({ state }) => state === "pending") && decky.pendingRemovals.length === 0;
  const made = isUntouched ? "nothing was begun" : "what it made of the change is not known";
  const message = `${error.message}; ${made}, and it is taken back when the host is here again`;
  const record: OperationError = { reason: "HOST_UNREACHABLE", message, next: error.next, outputTail: [], undone: false };
  const operations = quitters.map(
    (operation): OperationChange => ({ operation, patch: { state: "failed", error: record, finishedAt: context.now } }),
  );
  const slugs = quitters.map(({ service }) => service);
  const services = revertSlugs(desiredServices(situation), attempt.services, goodServices(situation), slugs, context.catalog);
  const ends = operations.flatMap(({ operation, patch }) => operationEvents({ ...operation, ...patch }, services));
  const unknown = { state: "unknown", message: error.message } as const;
  const isOf = (kind: Operation["kind"]) => quitters.some((operation) => operation.kind === kind);
  const leaves = decky.appliedRevision === 0 && isOf("deploy_decky");
  const place = isOf("move_decky") ? moveBack(decky, attempt.decky.host) : undefined;
  const back = { ...place, ...(quitters.some(changesIdentity) ? identityBack(decky, attempt.decky) : {}) };
  const host = place?.host ?? decky.host;
  const common = { operations, events: [...ends, ...stateEvent({ ...decky, host }, "unknown", error.message)] };
  const [first] = quitters;
  if (first === undefined || (decky.appliedRevision === 0 && !leaves))
    return resolution("given up", { decky: { kind: "patch", patch: unknown }, ...common });
  // A teardown that waits behind what is given up goes on.
  const leaving = leaves || (decky.leaving && !isOf("teardown_decky"));
  const number = decky.desiredRevision + 1;
  const reason = `undo of ${first.id}`;
  const undo = makeOperation({
    id: context.makeId(),
    kind: "repair",
    actor: first.actor,
    reason,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host,
    revision: number,
    createdAt: context.now,
  });
  return resolution("given up", {
    ...common,
    decky: {
      kind: "patch",
      patch: { ...back, ...unknown, desiredRevision: number, leaving, lastOperation: undo.id },
    },
    revision: { deckyId: decky.id, number, services, actor: first.actor, reason, operationId: undo.id },
    opens: [undo],
  });
}
