import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Operation, OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { formatTook } from "./duration.ts";
import { age, table, verbatim, visible, word } from "./layout.ts";
import { formatPlan, nameOf } from "./plan.ts";
import { formatStep, formatVerdict } from "./verdict.ts";

function took(operation: Operation): string {
  const { createdAt, finishedAt } = operation;
  return createdAt === undefined || finishedAt === undefined ? "-" : formatTook(timestampMs(finishedAt) - timestampMs(createdAt));
}

function result(operation: Operation): string {
  if (operation.state === OperationState.SUCCEEDED) return operation.revision > 0 ? `✔ r${operation.revision}` : "✔";
  const undone = operation.error === undefined ? "" : operation.error.undone ? ", undone" : ", NOT undone";
  const mark = operation.state === OperationState.FAILED ? "× " : "";
  return `${mark}${word(OperationState, operation.state)}${undone}`;
}

/** The list of operations as people read it. */
export function formatOperations(operations: readonly Operation[], now: number): string {
  return table(
    ["ID", "AGE", "WHO", "WHAT", "RESULT", "TOOK"],
    operations.map((each) => [
      each.id,
      age(each.createdAt, now),
      each.actor,
      `${word(OperationKind, each.kind)} ${nameOf(each)} ${each.service}`.trim(),
      result(each),
      took(each),
    ]),
  );
}

/** What the failed steps of an operation wrote. */
export function formatLog(operation: Operation): string {
  const lines = [...(operation.error?.outputTail ?? []), ...operation.steps.flatMap((step) => step.outputTail)];
  return lines.length === 0 ? "none of its steps failed with output" : lines.map(verbatim).join("\n");
}

/** Each container before and after. */
export function formatReceiptTable(operation: Operation): string {
  const containers = operation.receipt?.containers ?? [];
  if (containers.length === 0) return "no receipt: no container was inspected";
  const states = (side: "before" | "after") => (container: (typeof containers)[number]) => {
    const found = container[side];
    return found === undefined ? "-" : `${found.id.slice(0, 12)} ${found.startedAt} ${found.restartCount}`;
  };
  return table(
    ["CONTAINER", "BEFORE (id, start, restarts)", "AFTER", "PLANNED"],
    containers.map((each) => [each.name, states("before")(each), states("after")(each), each.planned ? "yes" : "no"]),
  );
}

/** One operation in full. */
export function formatOperation(operation: Operation): string {
  const what = `${word(OperationKind, operation.kind)} ${nameOf(operation)} ${operation.service}`;
  const failedIn = operation.steps.find((step) => step.outputTail.length > 0)?.attempt ?? Number.POSITIVE_INFINITY;
  return [
    `${operation.id}  ${what}  by ${operation.actor}  ${result(operation)}  ${took(operation)}`,
    ...(operation.reason === "" ? [] : [`reason: ${visible(operation.reason)}`]),
    ...(operation.children.length === 0 ? [formatPlan(operation)] : [`parts: decnet op list --select parent=${operation.id}`]),
    ...operation.steps.map((step) => formatStep(step, { isUndo: step.attempt > failedIn, verbose: true })),
    ...(operation.receipt === undefined ? [] : [formatReceiptTable(operation)]),
    formatVerdict(operation),
  ].join("\n");
}
