import { isDeepStrictEqual } from "node:util";
import { AppError } from "@decnet/common/errors/app-error";
import { dateOf } from "@decnet/common/runtime/foreign-time";
import type { DeckyObservation } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { RepairReport } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { repairInVain } from "@decnet/engine/diagnose/repair-verdict";
import { formatPlan } from "@decnet/engine/plan/plan";
import { fromObservationMessage, fromOutcomeMessage, fromStepMessage } from "@decnet/engine/wire/outcome";
import type { Decky } from "../model/decky.ts";
import { operationEvents, stateEvent } from "../model/events.ts";
import { makeOperation, type Operation, type OperationError, type OperationStep, toPlanRecord } from "../model/operation.ts";
import type { DecisionContext } from "./context.ts";
import { type Resolution, resolution } from "./resolution.ts";
import { resolveAhead } from "./resolve-behind.ts";

const maxCause = 4_000;

/**
 * The decky, if it lives on the host that reports about it. Undefined for one that is nowhere any more. Throws DECKY_NOT_ON_HOST.
 */
export function reportedDecky(decky: Decky | undefined, host: string): Decky | undefined {
  if (decky === undefined || decky.pendingRemovals.includes(host)) return undefined;
  if (decky.host === host) return decky;
  throw new AppError("DECKY_NOT_ON_HOST", `${decky.name} lives on ${decky.host}, not on ${host}`, {
    metadata: { decky: decky.name, host: decky.host },
  });
}

/** What an agent saw of a decky. Undefined when it says nothing new. Pure. */
export function resolveReport(decky: Decky, isOpen: boolean, seen: DeckyObservation, now: Date): Resolution | undefined {
  // A change that is under way says itself how it ends; what was seen of an older revision is old.
  if (seen.revision < decky.renderedRevision || isOpen) return undefined;
  if (seen.revision > decky.desiredRevision) return resolveAhead(decky, seen.revision);
  const { state, message, baseId, services } = fromObservationMessage(seen);
  // What its host could not observe stays as it was last seen.
  const observed = state === "unknown" ? decky.observed : { baseId, services };
  // An agent that comes back reports everything again, and most of it is as it was.
  if (decky.state === state && decky.message === message && isDeepStrictEqual(decky.observed, observed)) return undefined;
  return resolution("reported", {
    decky: { kind: "patch", patch: { state, message, observed, ...(state === "unknown" ? {} : { observedAt: now }) } },
    events: stateEvent(decky, state, message),
  });
}

export interface RepairTaken {
  readonly resolution: Resolution;
  readonly steps: readonly OperationStep[];
}

/** A repair that an agent made of its own accord becomes an operation that has ended. Pure. */
export function resolveRepairReport(
  decky: Decky,
  report: RepairReport,
  { makeId, now }: Pick<DecisionContext, "makeId" | "now">,
): RepairTaken | undefined {
  if (report.outcome === undefined) return undefined;
  const { failure, plan, receipt, judged } = fromOutcomeMessage(report.outcome);
  // The lists of operations are in the order of these times: nobody is ahead of everybody.
  const finishedAt = earlier(dateOf(report.finishedAt), now);
  const startedAt = earlier(dateOf(report.startedAt), finishedAt);
  // A repair is known by what is seen afterwards.
  const why = repairInVain(plan, judged);
  const message = failure?.message ?? (why === undefined ? "" : `the repair did not help: ${why}`);
  const error: OperationError | null =
    message === "" ? null : { reason: "APPLY_FAILED", message, next: [], outputTail: failure?.outputTail ?? [], undone: false };
  const operation = makeOperation({
    id: makeId(),
    kind: "repair",
    actor: "drift",
    reason: report.cause.slice(0, maxCause),
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: decky.host,
    revision: decky.desiredRevision,
    plan: toPlanRecord(plan, formatPlan(plan), decky.appliedRevision, []),
    // One whose end was not observed proves nothing.
    receipt: report.outcome.receipt === undefined ? null : receipt,
    state: error === null ? "succeeded" : "failed",
    error,
    createdAt: startedAt,
    startedAt,
    finishedAt,
  });
  return {
    resolution: resolution("repaired by its agent", { opens: [operation], events: operationEvents(operation, []) }),
    steps: stepsOf(operation, report),
  };
}

function earlier(one: Date, other: Date): Date {
  return one < other ? one : other;
}

/** Each number once, in its newest state, whatever the agent says of it before. */
function stepsOf(operation: Operation, { steps }: RepairReport): OperationStep[] {
  const known = new Map<number, OperationStep>();
  for (const event of steps.map(fromStepMessage)) {
    if (event.kind === "started") continue;
    known.set(event.step.number, {
      operationId: operation.id,
      attempt: 1,
      number: event.step.number,
      verb: event.step.verb,
      target: event.step.target,
      cause: event.step.cause,
      service: event.step.service,
      state: event.kind === "failed" ? "failed" : "succeeded",
      outputTail: event.kind === "failed" ? [event.message, ...event.outputTail] : [],
      startedAt: event.at,
      finishedAt: event.at,
    });
  }
  return [...known.values()];
}
