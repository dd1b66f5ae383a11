import { toJson } from "@bufbuild/protobuf";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  type Operation,
  OperationSchema,
  OperationState,
  type OperationStep,
  StepState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Connection } from "../connection.ts";
import { formatDocument, isForPrograms } from "../forms.ts";
import { during, endLive, isVerbose, print, printRaw, progress, say, showLive } from "../output.ts";
import { readParts } from "../pages.ts";
import { type Form, formOf } from "../read-flags.ts";
import { visible } from "../text/layout.ts";
import { nameOf } from "../text/plan.ts";
import { exitOf, formatReceipt, formatStep, formatVerdict, worstExit } from "../text/verdict.ts";
import { followParts } from "./follow-parts.ts";
import { type ChangeFlags, waitMs } from "./options.ts";

/** Replays an operation's finished steps, follows it to its end, and says how it ended. Returns the exit code. */
export async function follow(connection: Connection, id: string, flags: ChangeFlags): Promise<number> {
  const end = await followUnlessMoved(connection, id, flags);
  return typeof end === "number" ? end : conclude(connection, end, formOf(flags));
}

/** The same, but an operation that did nothing because its plan had changed is returned, and not reported. */
export async function followUnlessMoved(connection: Connection, id: string, flags: ChangeFlags): Promise<number | Operation> {
  const form = formOf(flags);
  const limit = waitMs(flags.wait);
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once("SIGINT", onInterrupt);
  try {
    const last = await watch(connection, id, form, limit, interrupted.signal);
    if (last.state === OperationState.FAILED && last.error?.reason === "PLAN_CHANGED") return last;
    return await conclude(connection, last, form);
  } catch (error) {
    if (interrupted.signal.aborted) {
      endLive();
      say(`operation ${id} goes on; cancel: decnet op cancel ${id}`);
      return 130;
    }
    if (limit === undefined || fromConnectError(error).reason !== "WAIT_ENDED") throw error;
    return stillGoing(connection, id, form);
  } finally {
    process.off("SIGINT", onInterrupt);
    endLive();
  }
}

/** Reports the state of an operation, without waiting for its end. */
export async function conclude(connection: Connection, operation: Operation, form: Form): Promise<number> {
  const children = operation.children.length === 0 ? [] : await readParts(connection, operation.id);
  const exit =
    operation.state === OperationState.FAILED ? worstExit([...children.map(exitOf), exitOf(operation)]) : exitOf(operation);
  if (form === "jsonl") printRaw(JSON.stringify(resultLine(operation, exit)));
  else if (isForPrograms(form)) printRaw(formatDocument(form === "yaml" ? "yaml" : "json", toJson(OperationSchema, operation)));
  else if (form === "name") printRaw(operation.id);
  if (isForPrograms(form) || form === "name") return exit;
  const isGood = exit === 0;
  const receipt = isGood ? formatReceipt(operation) : undefined;
  if (receipt !== undefined) progress(receipt);
  const text = formatVerdict(operation, isGood ? {} : await readNow(connection, operation));
  if (isGood) print(text);
  else say(text);
  return exit;
}

async function watch(
  connection: Connection,
  id: string,
  form: Form,
  timeoutMs: number | undefined,
  signal: AbortSignal,
): Promise<Operation> {
  let last: Operation | undefined;
  let failedIn = 0;
  const isForPeople = !isForPrograms(form) && form !== "name";
  const parts = new AbortController();
  let following: Promise<void> | undefined;
  if (isForPeople) showLive(`waiting for ${id}`);
  try {
    const stream = connection.operations.watchOperation({ id }, { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    for await (const { item } of stream) {
      if (item.case === "operation") {
        last = item.value;
        if (isForPeople && last.waitingFor !== "") {
          progress(`  waiting for ${visible(last.waitingFor)}`);
          showLive(`waiting for ${visible(last.waitingFor)}`);
        }
        if (isForPeople && last.children.length > 0)
          following ??= followParts(connection, last, AbortSignal.any([signal, parts.signal]));
      } else if (item.case === "step") {
        const step = item.value;
        if (form === "jsonl") printRaw(JSON.stringify(stepLine(id, step)));
        if (!isForPeople) continue;
        const isUndo = failedIn > 0 && step.attempt > failedIn;
        if (step.state === StepState.RUNNING) {
          showLive(`${isUndo ? "undo: " : ""}${step.verb} ${step.target}`);
          continue;
        }
        progress(formatStep(step, { isUndo, verbose: isVerbose() }));
        if (step.state === StepState.FAILED) failedIn = Math.max(failedIn, step.attempt);
      }
    }
  } finally {
    parts.abort();
    await following;
    endLive();
  }
  // The stream of a master that shuts down ends early.
  if (last === undefined || last.state === OperationState.RUNNING || last.state === OperationState.PENDING) {
    const { operation } = await connection.operations.getOperation({ id });
    if (operation !== undefined) return operation;
  }
  if (last === undefined) throw new Error(`the master ended the stream of ${id} without a result`);
  return last;
}

async function stillGoing(connection: Connection, id: string, form: Form): Promise<number> {
  if (isForPrograms(form)) {
    const { operation } = await connection.operations.getOperation({ id });
    if (operation !== undefined && form === "jsonl") printRaw(JSON.stringify(resultLine(operation, 9)));
    else if (operation !== undefined)
      printRaw(formatDocument(form === "yaml" ? "yaml" : "json", toJson(OperationSchema, operation)));
  } else if (form === "name") printRaw(id);
  say(`--wait ran out; operation ${id} goes on`);
  say(`watch: decnet op watch ${id}`);
  return 9;
}

async function readNow(connection: Connection, operation: Operation) {
  if (operation.decky === undefined) return {};
  const { decky } = await during("reading the decky", connection.fleet.getDecky({ decky: operation.decky })).catch(() => ({
    decky: undefined,
  }));
  if (decky === undefined) return {};
  return { now: { state: DeckyState[decky.state].toLowerCase(), revision: decky.appliedRevision } };
}

/** A step as one line for programs. */
function stepLine(operation: string, step: OperationStep) {
  return {
    type: "step",
    operation,
    step: step.verb,
    target: step.target,
    service: step.service,
    cause: step.cause,
    state: StepState[step.state],
    attempt: step.attempt,
    tail: step.outputTail,
  };
}

/** The last line for programs, also of a failure. */
function resultLine(operation: Operation, exit: number) {
  return {
    type: "result",
    operation: operation.id,
    state: OperationState[operation.state],
    undone: operation.error?.undone ?? false,
    reason: operation.error?.reason ?? "",
    message: operation.error?.message ?? "",
    decky: nameOf(operation),
    service: operation.service,
    revision: operation.revision,
    next: operation.error?.next ?? [],
    othersUnchanged: operation.receipt?.othersUnchanged,
    exit,
  };
}
