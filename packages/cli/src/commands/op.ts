import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  GetOperationResponseSchema,
  ListOperationsResponseSchema,
  type Operation,
  OperationKind,
  OperationState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Command } from "commander";
import { conclude, follow } from "../change/follow.ts";
import type { Cli } from "../cli.ts";
import { formOf, type ReadFlags, reading, show } from "../flags.ts";
import { age, table, visible, word } from "../output.ts";
import { formatTook } from "../text/duration.ts";
import { formatPlan, nameOf } from "../text/plan.ts";
import { formatStep, formatVerdict } from "../text/verdict.ts";

/** `decnet op …` */
export function registerOp(program: Command, cli: Cli): void {
  const op = program.command("op").description("What was asked for and how it went.");
  reading(
    op
      .command("list")
      .description("Operations, newest first.")
      .option("--select <filter>", "for instance decky=web-01,state=failed", ""),
    {
      examples: ["op list", "op list --select decky=web-07", "op list --select state=failed -o name"],
      rpc: "OperationService/ListOperations",
      body: '{"filter":"decky=web-07"}',
    },
  ).action((flags: ReadFlags & { select: string }) =>
    cli.withConnection(async ({ operations }) => {
      const found = await operations.listOperations({ filter: flags.select });
      show(flags, ListOperationsResponseSchema, found, () => formatOperations(found.operations));
      return undefined;
    }),
  );
  reading(
    op
      .command("get <id>")
      .description("One operation in full.")
      .option("--output-log", "only the output of failed steps")
      .option("--receipt", "only the receipt"),
    {
      examples: ["op get op-81bc", "op get op-81bc --receipt", "op get op-81be --output-log"],
      rpc: "OperationService/GetOperation",
      body: '{"id":"op-81bc"}',
    },
  ).action((id: string, flags: ReadFlags & { outputLog?: boolean; receipt?: boolean }) =>
    cli.withConnection(async ({ operations }) => {
      const found = await operations.getOperation({ id });
      const one = found.operation;
      show(flags, GetOperationResponseSchema, found, () => {
        if (one === undefined) return "";
        if (flags.outputLog === true) return formatLog(one);
        return flags.receipt === true ? formatReceiptTable(one) : formatOperation(one);
      });
      return undefined;
    }),
  );
  reading(
    op
      .command("watch <id>")
      .description("Replay the steps that are done, then follow to the end.")
      .option("--wait <how>", "applied (default), or a time such as 30s"),
    {
      examples: ["op watch op-81bf", "op watch op-81bf --wait 30s", "op watch op-81bf -o jsonl"],
      rpc: "OperationService/WatchOperation",
      body: '{"id":"op-81bf"}',
    },
  ).action((id: string, flags: ReadFlags & { wait?: string }) =>
    cli.withConnection((connection) => follow(connection, id, flags)),
  );
  reading(
    op
      .command("cancel <id>")
      .description("Stop an operation and undo it.")
      .option("--reason <text>", "kept with the operation", ""),
    {
      examples: ["op cancel op-81bf", 'op cancel op-81bf --reason "wrong decky"', "op cancel op-81bf --json"],
      rpc: "OperationService/CancelOperation",
      body: '{"id":"op-81bf"}',
    },
  ).action((id: string, flags: ReadFlags & { reason: string }) =>
    cli.withConnection(async (connection) => {
      const { operation } = await connection.operations.cancelOperation({ id, reason: flags.reason });
      if (operation !== undefined) await conclude(connection, operation, formOf(flags));
      return undefined;
    }),
  );
}

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

function formatOperations(operations: readonly Operation[]): string {
  return table(
    ["ID", "AGE", "WHO", "WHAT", "RESULT", "TOOK"],
    operations.map((each) => [
      each.id,
      age(each.createdAt),
      each.actor,
      `${word(OperationKind, each.kind)} ${nameOf(each)} ${each.service}`.trim(),
      result(each),
      took(each),
    ]),
  );
}

function formatLog(operation: Operation): string {
  const lines = [...(operation.error?.outputTail ?? []), ...operation.steps.flatMap((step) => step.outputTail)];
  return lines.length === 0 ? "no step of it failed with output" : lines.map(visible).join("\n");
}

function formatReceiptTable(operation: Operation): string {
  const containers = operation.receipt?.containers ?? [];
  if (containers.length === 0) return "no receipt: no container was looked at";
  const facts = (side: "before" | "after") => (container: (typeof containers)[number]) => {
    const found = container[side];
    return found === undefined ? "-" : `${found.id.slice(0, 12)} ${found.startedAt} ${found.restartCount}`;
  };
  return table(
    ["CONTAINER", "BEFORE (id, start, restarts)", "AFTER", "PLANNED"],
    containers.map((each) => [each.name, facts("before")(each), facts("after")(each), each.planned ? "yes" : "no"]),
  );
}

function formatOperation(operation: Operation): string {
  const failedIn = operation.steps.find((step) => step.outputTail.length > 0)?.attempt ?? Number.POSITIVE_INFINITY;
  return [
    `${operation.id}  ${word(OperationKind, operation.kind)} ${nameOf(operation)} ${operation.service}  by ${operation.actor}  ${result(operation)}  ${took(operation)}`,
    ...(operation.reason === "" ? [] : [`reason: ${visible(operation.reason)}`]),
    ...(operation.children.length === 0 ? [formatPlan(operation)] : [`parts: decnet op list --select parent=${operation.id}`]),
    ...operation.steps.map((step) => formatStep(step, { isUndo: step.attempt > failedIn, verbose: true })),
    ...(operation.receipt === undefined ? [] : [formatReceiptTable(operation)]),
    formatVerdict(operation),
  ].join("\n");
}
