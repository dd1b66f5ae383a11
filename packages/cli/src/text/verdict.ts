import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ChangeAction,
  type Operation,
  OperationKind,
  OperationState,
  type OperationStep,
  StepState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import { isReason, reasons } from "@decnet/contract/reasons";
import { formatTook } from "./duration.ts";
import { oneLine, verbatim, visible, word } from "./layout.ts";
import { hasChanges, nameOf } from "./plan.ts";

/** A finished step: mark, verb, target, how long it took; a failed one with its last output. Pure. */
export function formatStep(step: OperationStep, options: { readonly isUndo?: boolean; readonly verbose?: boolean } = {}): string {
  const failed = step.state === StepState.FAILED;
  const took =
    step.startedAt === undefined || step.finishedAt === undefined
      ? ""
      : formatTook(timestampMs(step.finishedAt) - timestampMs(step.startedAt));
  const verb = `${options.isUndo === true ? "undo: " : ""}${oneLine(step.verb)}`.padEnd(14);
  const cause = options.verbose === true || failed ? `  (${oneLine(step.cause)})` : "";
  const line = `${failed ? "✖" : "✔"} ${verb} ${oneLine(step.target)}${cause}`.padEnd(56);
  return [`${line}  ${took}`.trimEnd(), ...step.outputTail.map((text) => `    │ ${verbatim(text)}`)].join("\n");
}

/** What the receipt of an operation proves; undefined without one. */
export function formatReceipt(operation: Operation): string | undefined {
  const { receipt } = operation;
  if (receipt === undefined) return undefined;
  const others = receipt.containers.filter((container) => !container.planned).length;
  const what = `${others} sibling${others === 1 ? "" : "s"} ${receipt.othersUnchanged ? "unchanged" : "CHANGED"}`;
  const line = `${receipt.othersUnchanged ? "✔" : "✖"} ${"receipt".padEnd(14)} ${what} (ids, start times, restarts)`;
  return `${line.padEnd(58)}  decnet op get ${operation.id} --receipt`;
}

/** The exit code of an operation: 0, 4, 7 or 8. One that still runs has 0, because the caller only waited for its acceptance. */
export function exitOf(operation: Operation): number {
  switch (operation.state) {
    case OperationState.CANCELLED:
    case OperationState.SUPERSEDED:
      return 4;
    case OperationState.FAILED: {
      const reason = operation.error?.reason ?? "";
      if (isReason(reason) && reasons[reason].exit === 4) return 4;
      return operation.error?.undone === true ? 7 : 8;
    }
    default:
      return 0;
  }
}

const severity = [8, 7, 6, 4, 2];

/** The worst of several exit codes. */
export function worstExit(codes: readonly number[]): number {
  return severity.find((code) => codes.includes(code)) ?? codes.find((code) => code !== 0) ?? 0;
}

export interface VerdictContext {
  /** The decky as it is now, for a failed change. */
  readonly now?: { readonly state: string; readonly revision: number };
}

/** How an operation ended, for people. A success goes to stdout, everything else to stderr. Pure. */
export function formatVerdict(operation: Operation, context: VerdictContext = {}): string {
  const name = subjectOf(operation);
  switch (operation.state) {
    case OperationState.SUCCEEDED:
      return success(operation, name);
    case OperationState.FAILED:
      return failure(operation, name, context);
    case OperationState.CANCELLED:
      return `${operation.id} was cancelled${operation.error?.undone === true ? ` and undone; ${name} is as before` : ""}`;
    case OperationState.SUPERSEDED:
      return [
        `${operation.id} was superseded: a later change of ${name} replaced it before it was applied`,
        ` next:  decnet decky revisions ${name}`,
      ].join("\n");
    default:
      return [waitingLine(operation), `watch: decnet op watch ${operation.id}`].join("\n");
  }
}

function waitingLine({ id, state, waitingFor }: Operation): string {
  return `${id} is ${word(OperationState, state)}${waitingFor === "" ? "" : `, waiting for ${visible(waitingFor)}`}`;
}

const ofHosts: ReadonlySet<OperationKind> = new Set([
  OperationKind.DRAIN_HOST,
  OperationKind.DECOMMISSION_HOST,
  OperationKind.REMOVE_ORPHANS,
]);

function subjectOf(operation: Operation): string {
  const { kind } = operation;
  return ofHosts.has(kind) ? operation.host : nameOf(operation);
}

function success(operation: Operation, name: string): string {
  const revision = operation.revision > 0 ? ` r${operation.revision}` : "";
  const took =
    operation.createdAt === undefined || operation.finishedAt === undefined
      ? ""
      : `   ${formatTook(timestampMs(operation.finishedAt) - timestampMs(operation.createdAt))}`;
  const line = `${name}${revision} ${outcome(operation)}.${took}   ${operation.id}`;
  const before = revisionBefore(operation);
  const canUndo = operation.decky !== undefined && before > 0 && !isTeardown(operation) && hasChanges(operation.plan);
  return [line, ...(canUndo ? [`undo: decnet decky restore ${name} r${before}`] : [])].join("\n");
}

/** What an undo goes back to; 0: nothing was there before, or the operation made no revision. */
function revisionBefore({ kind, revision, plan }: Operation): number {
  if (kind === OperationKind.REPAIR || kind === OperationKind.DEPLOY_DECKY || revision === 0) return 0;
  return Math.min(plan?.baseRevision ?? 0, revision - 1);
}

function isTeardown({ kind }: Operation): boolean {
  return kind === OperationKind.TEARDOWN_DECKY || kind === OperationKind.TEARDOWN_FLEET;
}

function outcome(operation: Operation): string {
  const { kind, service } = operation;
  const isSave =
    operation.plan?.changes.some((change) => change.action === ChangeAction.STAGED) === true && operation.steps.length === 0;
  if (kind === OperationKind.ADD_SERVICE) return `applied, ${service} is running`;
  if (kind === OperationKind.REMOVE_SERVICE) return `applied, ${service} is gone`;
  if (kind === OperationKind.UPDATE_SERVICE_CONFIG && isSave) return `saved, not applied: ${service} keeps its settings`;
  if (kind === OperationKind.UPDATE_SERVICE_CONFIG) return `applied, ${service} is running`;
  if (kind === OperationKind.TEARDOWN_DECKY) return "is gone";
  if (kind === OperationKind.TEARDOWN_FLEET) return "is gone, every decky of it";
  if (kind === OperationKind.APPLY_FLEET) return `applied, ${operation.children.length} deckies changed`;
  if (kind === OperationKind.CREATE_TOPOLOGY) return "is designed, and not deployed";
  if (kind === OperationKind.EDIT_TOPOLOGY && operation.children.length === 0) return "has a new design, no decky changed";
  if (kind === OperationKind.EDIT_TOPOLOGY) return `has a new design, ${operation.children.length} deckies changed`;
  if (kind === OperationKind.DEPLOY_TOPOLOGY) return `is deployed, ${operation.children.length} deckies`;
  if (kind === OperationKind.RESYNC_TOPOLOGY) return `is as its design says, ${operation.children.length} deckies changed`;
  if (kind === OperationKind.TEARDOWN_TOPOLOGY) return "is torn down, every decky of it";
  if (kind === OperationKind.DELETE_TOPOLOGY) return "is forgotten";
  if (kind === OperationKind.DRAIN_HOST) return `is drained, ${operation.children.length} deckies moved`;
  if (kind === OperationKind.DECOMMISSION_HOST) return `is decommissioned, ${operation.children.length} deckies were removed`;
  if (kind === OperationKind.REMOVE_ORPHANS)
    return `is rid of ${operation.steps.length === 1 ? "an orphan" : `${operation.steps.length} orphans`}`;
  return "applied";
}

function failure(operation: Operation, name: string, { now }: VerdictContext): string {
  const { error } = operation;
  const message = oneLine(error?.message ?? "the change failed");
  const cause = error?.outputTail.findLast((line) => line.trim() !== "");
  const next = error?.next.filter((line) => !line.includes("--output-log")) ?? [];
  return [
    `error: ${error?.reason ?? "APPLY_FAILED"}  ${message}`,
    ` now:   ${stateNow(operation, name, now)}`,
    ...(cause === undefined || message.includes(cause) ? [] : [` cause: ${oneLine(cause)}`]),
    ...next.map((line, index) => ` ${index === 0 ? "next: " : "      "} ${oneLine(line)}`),
    ` more:  decnet op get ${operation.id} --output-log`,
  ].join("\n");
}

function stateNow(operation: Operation, name: string, now: VerdictContext["now"]): string {
  if (operation.error?.reason === "PLAN_CHANGED") return "nothing was done: something changed after the plan was made";
  // Its error is that of one part: it says nothing about the others.
  if (operation.children.length > 0) {
    const parts = `decnet op list --select parent=${operation.id}`;
    return `${name} is changed in part: what failed is not as asked for, the rest is (${parts})`;
  }
  if (operation.kind === OperationKind.REMOVE_ORPHANS)
    return `what could not be removed is still there (decnet host orphans ${name})`;
  if (operation.error?.undone !== true)
    return `${name} was NOT undone${now === undefined ? "" : ` and is ${now.state}`}; it needs attention`;
  const before = operation.plan?.baseRevision ?? 0;
  const others = operation.receipt?.othersUnchanged === true ? "; nothing else changed" : "";
  if (now === undefined) return `${name} is back in its last good state${others}`;
  return `${name} is ${now.state} at r${now.revision}${before > 0 ? ` (same as r${before})` : ""}${others}`;
}
