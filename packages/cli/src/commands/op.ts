import { GetOperationResponseSchema, ListOperationsResponseSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Command } from "commander";
import { conclude, follow } from "../change/follow.ts";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { formatLog, formatOperation, formatOperations, formatReceiptTable } from "../text/operations.ts";

/** `decnet op …` */
export function registerOp(program: Command, cli: Cli): void {
  const op = program.command("op").description("What was asked for, and how it went.");
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
      show(flags, ListOperationsResponseSchema, found, () => formatOperations(found.operations, Date.now()));
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
      .option("--reason <text>", "kept with the operation", "")
      .option("--request-id <id>", "the same id again gives the same operation, also when it has ended", ""),
    {
      examples: ["op cancel op-81bf", 'op cancel op-81bf --reason "wrong decky"', "op cancel op-81bf --json"],
      rpc: "OperationService/CancelOperation",
      body: '{"id":"op-81bf"}',
    },
  ).action((id: string, { reason, requestId, ...flags }: ReadFlags & { reason: string; requestId: string }) =>
    cli.withConnection(async (connection) => {
      const { operation } = await connection.operations.cancelOperation({ id, reason, requestId });
      if (operation !== undefined) await conclude(connection, operation, formOf(flags));
      return undefined;
    }),
  );
}
