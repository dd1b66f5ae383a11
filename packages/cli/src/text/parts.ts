import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Operation, OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { formatTook } from "./duration.ts";
import { oneLine, word } from "./layout.ts";
import { nameOf } from "./plan.ts";

/** One ended part of a change of many deckies. */
export function formatPart(part: Operation, number: number, total: number): string {
  const isGood = part.state === OperationState.SUCCEEDED;
  const count = `[${String(number).padStart(String(total).length, "0")}/${total}]`;
  const what = isGood ? word(OperationKind, part.kind) : `${part.error?.message ?? word(OperationState, part.state)}`;
  const undone = isGood ? "" : part.error?.undone === true ? "; undone" : "; NOT undone";
  const took =
    part.startedAt === undefined || part.finishedAt === undefined
      ? ""
      : `  ${formatTook(timestampMs(part.finishedAt) - timestampMs(part.startedAt))}`;
  return oneLine(`${isGood ? "✔" : "✖"} ${count} ${nameOf(part).padEnd(14)} ${what}${undone}${took}`);
}

/** How many parts have ended, and how many have not. */
export function formatCounters(parts: readonly Operation[]): string {
  const count = (...states: OperationState[]) => parts.filter((part) => states.includes(part.state)).length;
  const failed = count(OperationState.FAILED, OperationState.CANCELLED, OperationState.SUPERSEDED);
  const [done, running, waiting] = [OperationState.SUCCEEDED, OperationState.RUNNING, OperationState.PENDING].map((state) =>
    count(state),
  );
  return `done ${done} · failed ${failed} · running ${running} · waiting ${waiting}`;
}
