import {
  GetOperationResponseSchema,
  ListOperationsResponseSchema,
  OperationKind,
  OperationState,
  StepState,
} from "@decnet/common/gen/decnet/v1/operation_pb";
import type { Command } from "commander";
import { follow } from "../change.ts";
import type { Cli } from "../cli.ts";
import { type ReadFlags, reading, show } from "../flags.ts";
import { age, print, table, visible, word } from "../output.ts";

/** `decnet op …` */
export function registerOp(program: Command, cli: Cli): void {
  const op = program.command("op").description("What was asked for and how it went.");
  reading(
    op
      .command("list")
      .description("Operations, newest first.")
      .option("--select <filter>", "for instance decky=web-01,state=failed", ""),
  ).action((flags: ReadFlags & { select: string }) =>
    cli.withConnection(async ({ operations }) => {
      const found = await operations.listOperations({ filter: flags.select });
      show(flags, ListOperationsResponseSchema, found, () =>
        table(
          ["ID", "AGE", "WHO", "WHAT", "RESULT"],
          found.operations.map((each) => [
            each.id,
            age(each.createdAt),
            each.actor,
            `${word(OperationKind, each.kind)} ${each.decky?.name ?? ""} ${each.service}`.trim(),
            `${word(OperationState, each.state)}${each.error?.undone === true ? ", undone" : ""}`,
          ]),
        ),
      );
      return undefined;
    }),
  );
  reading(
    op
      .command("get <id>")
      .description("One operation in full.")
      .option("--output-log", "only the output of failed steps")
      .option("--receipt", "only the receipt"),
  ).action((id: string, flags: ReadFlags & { outputLog?: boolean; receipt?: boolean }) =>
    cli.withConnection(async ({ operations }) => {
      const found = await operations.getOperation({ id });
      const one = found.operation;
      show(flags, GetOperationResponseSchema, found, () => {
        if (one === undefined) return "";
        const log = [...(one.error?.outputTail ?? []), ...one.steps.flatMap((step) => step.outputTail)].map(visible);
        if (flags.outputLog === true) return log.join("\n");
        const receipt = table(
          ["CONTAINER", "BEFORE", "AFTER", "PLANNED"],
          one.receipt?.containers.map((each) => [
            each.name,
            each.before?.id.slice(0, 12) ?? "-",
            each.after?.id.slice(0, 12) ?? "-",
            each.planned ? "yes" : "no",
          ]) ?? [],
        );
        if (flags.receipt === true) return receipt;
        const steps = one.steps.map(
          (step) =>
            `  ${step.attempt}.${step.number} ${step.verb} ${step.target}  ${word(StepState, step.state)}  (${step.cause})`,
        );
        return [
          `${one.id}  ${word(OperationKind, one.kind)} ${one.decky?.name ?? ""} ${one.service}  by ${one.actor}  ${word(OperationState, one.state)}`,
          ...(one.error === undefined ? [] : [`  ${one.error.reason}: ${visible(one.error.message)}`]),
          ...steps,
          receipt,
        ].join("\n");
      });
      return undefined;
    }),
  );
  reading(op.command("watch <id>").description("Replay the steps that are done, then follow.")).action(
    (id: string, flags: ReadFlags) => cli.withConnection((connection) => follow(connection, id, flags)),
  );
  op.command("cancel <id>")
    .description("Stop an operation and undo it.")
    .action((id: string) =>
      cli.withConnection(async ({ operations }) => {
        const { operation } = await operations.cancelOperation({ id });
        print(`${id} is ${word(OperationState, operation?.state ?? 0)}`);
        return undefined;
      }),
    );
}
