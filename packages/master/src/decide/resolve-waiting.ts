import type { AppError } from "@decnet/common/errors/app-error";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { operationEvents, stateEvent } from "../model/events.ts";
import { makeOperation, type Operation, type OperationError } from "../model/operation.ts";
import type { DecisionContext } from "./context.ts";
import { type OperationChange, type Resolution, resolution } from "./resolution.ts";
import { desiredServices, goodServices, type Situation } from "./situation.ts";
import { type Attempt, moveBack, revertSlugs } from "./undo.ts";

const retryBackoff = { baseMs: 500, maxMs: 30_000 };

/**
 * The apply begins: what was stored as pending runs now. Undefined when nothing is to be done, or all that is on record already.
 */
export function resolveBegin({ decky, open }: Situation, { now }: DecisionContext): Resolution | undefined {
  const operations = open
    .filter(({ state }) => state === "pending")
    .map((operation): OperationChange => ({ operation, patch: { state: "running", startedAt: now } }));
  const lastOperation = open.at(-1)?.id ?? null;
  if (open.length === 0) return undefined;
  if (operations.length === 0 && decky.state === "changing" && decky.lastOperation === lastOperation) return undefined;
  return resolution("begins", {
    decky: { kind: "patch", patch: { state: "changing", lastOperation } },
    operations,
    events: stateEvent(decky, "changing", ""),
  });
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
  const message = `${error.message}; what it made of the change is not known, and it is taken back when the host is here again`;
  const record: OperationError = { reason: "HOST_UNREACHABLE", message, next: error.next, outputTail: [], undone: false };
  const operations = quitters.map(
    (operation): OperationChange => ({ operation, patch: { state: "failed", error: record, finishedAt: context.now } }),
  );
  const slugs = quitters.map(({ service }) => service);
  const services = revertSlugs(desiredServices(situation), attempt.services, goodServices(situation), slugs, context.catalog);
  const ends = operations.flatMap(({ operation, patch }) => operationEvents({ ...operation, ...patch }, services));
  const common = { operations, events: [...ends, ...stateEvent(decky, "unknown", error.message)] };
  const unknown = { state: "unknown", message: error.message } as const;
  const isOf = (kind: Operation["kind"]) => quitters.some((operation) => operation.kind === kind);
  const leaves = decky.appliedRevision === 0 && isOf("deploy_decky");
  const [first] = quitters;
  if (first === undefined || (decky.appliedRevision === 0 && !leaves))
    return resolution("given up", { decky: { kind: "patch", patch: unknown }, ...common });
  const back = isOf("move_decky") ? moveBack(decky, attempt.decky.host) : undefined;
  // A teardown that waits behind what is given up goes on.
  const leaving = leaves || (decky.leaving && !isOf("teardown_decky"));
  const number = decky.desiredRevision + 1;
  const reason = `undo of ${first.id}`;
  const undo = makeOperation({
    kind: "repair",
    actor: first.actor,
    reason,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: back?.host ?? decky.host,
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
