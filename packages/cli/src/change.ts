import { createInterface } from "node:readline/promises";
import { toJson } from "@bufbuild/protobuf";
import {
  ChangeAction,
  OnFailure,
  type Operation,
  OperationSchema,
  OperationState,
  type Plan,
  StepState,
  Wait,
} from "@decnet/common/gen/decnet/v1/operation_pb";
import { fromConnectError } from "@decnet/common/rpc/errors";
import type { Connection } from "./connection.ts";
import { print, say, visible, word } from "./output.ts";
import { UsageError } from "./settings.ts";

/** Flags that every changing command has. */
export interface ChangeFlags {
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly accept?: string[];
  readonly plan?: boolean;
  readonly exitCode?: boolean;
  readonly wait?: string;
  readonly expect?: string;
  readonly expectPlan?: string;
  readonly reason?: string;
  readonly requestId?: string;
  readonly onFailure?: string;
}

export interface OptionsInit {
  readonly requestId: string;
  readonly expectedRevision?: number;
  readonly expectedPlan: string;
  readonly dryRun: boolean;
  readonly reason: string;
  readonly onFailure: OnFailure;
  readonly wait: Wait;
}

export interface Change {
  readonly flags: ChangeFlags;
  readonly connection: Connection;
  readonly submit: (options: OptionsInit) => Promise<{ operation?: Operation | undefined }>;
  /** Whether a plain yes is asked for; adds disturb nothing and ask nothing. */
  readonly asks: boolean;
  /** The biggest acts want this name typed. */
  readonly typed?: { readonly name: string; readonly accept: string };
}

/** plan → ask → run → verdict. Returns the exit code. */
export async function runChange({ flags, connection, submit, asks, typed }: Change): Promise<number> {
  const dry = await submit(optionsOf(flags, { dryRun: true, expectedPlan: flags.expectPlan ?? "" }));
  const plan = dry.operation?.plan;
  if (flags.plan === true) {
    if (flags.json === true && dry.operation !== undefined)
      print(JSON.stringify(toJson(OperationSchema, dry.operation), null, 2));
    else print(formatPlan(plan));
    if (plan !== undefined && plan.digest !== "")
      say(`to do exactly this: the same command with --expect-plan ${plan.digest} instead of --plan`);
    return flags.exitCode === true && hasChanges(plan) ? 10 : 0;
  }
  if (flags.json !== true) say(formatPlan(plan));
  await confirm(flags, plan, asks, typed);
  const started = await submit({
    ...optionsOf(flags, { dryRun: false, expectedPlan: flags.expectPlan ?? "" }),
    wait: Wait.ACCEPTED,
  });
  const id = started.operation?.id ?? "";
  if (flags.wait === "accepted") return verdict(started.operation, flags);
  return follow(connection, id, flags);
}

/** Replays an operation's finished steps, follows it to its end, and says how it ended. */
export async function follow(connection: Connection, id: string, flags: ChangeFlags): Promise<number> {
  const timeoutMs = durationMs(flags.wait);
  const onInterrupt = () => {
    say(`operation ${id} goes on; cancel: decnet op cancel ${id}`);
    process.exit(130);
  };
  process.once("SIGINT", onInterrupt);
  let last: Operation | undefined;
  try {
    for await (const { item } of connection.operations.watchOperation({ id }, timeoutMs === undefined ? {} : { timeoutMs })) {
      if (item.case === "operation") last = item.value;
      else if (item.case === "step" && flags.json !== true && item.value.state !== StepState.RUNNING) {
        const step = item.value;
        say(
          `${step.state === StepState.SUCCEEDED ? "ok    " : "FAILED"} ${step.verb.padEnd(14)} ${step.target}  (${step.cause})`,
        );
        for (const line of step.outputTail) say(`       | ${visible(line)}`);
      }
    }
  } catch (error) {
    if (fromConnectError(error).reason !== "WAIT_ENDED") throw error;
    say(`the operation goes on: decnet op watch ${id}`);
    return 9;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
  return verdict(last, flags);
}

function verdict(operation: Operation | undefined, flags: ChangeFlags): number {
  if (operation === undefined) return 1;
  if (flags.json === true) print(JSON.stringify(toJson(OperationSchema, operation), null, 2));
  const name = operation.decky?.name ?? "fleet";
  const others = operation.receipt?.containers.filter((container) => !container.planned).length ?? 0;
  switch (operation.state) {
    case OperationState.SUCCEEDED:
      if (operation.receipt !== undefined)
        say(
          `receipt: ${others} other container${others === 1 ? "" : "s"} ${operation.receipt.othersUnchanged ? "unchanged" : "CHANGED"} (ids, start times, restarts)`,
        );
      say(`${name}${operation.revision > 0 ? ` r${operation.revision}` : ""} done.   ${operation.id}`);
      if (operation.revision > 1) say(`undo: decnet decky restore ${name} r${operation.revision - 1}`);
      return 0;
    case OperationState.FAILED:
      say(`error: ${operation.error?.reason ?? "APPLY_FAILED"}  ${visible(operation.error?.message ?? "")}`);
      say(
        ` now:   ${operation.error?.undone === true ? `${name} is back on its last good state` : `${name} was NOT undone: it needs you`}`,
      );
      for (const next of operation.error?.next ?? []) say(` next:  ${next}`);
      return operation.error?.undone === true ? 7 : 8;
    case OperationState.CANCELLED:
    case OperationState.SUPERSEDED:
      say(`${operation.id} was ${word(OperationState, operation.state)}`);
      return 4;
    default:
      say(`${operation.id} is ${word(OperationState, operation.state)}: decnet op watch ${operation.id}`);
      return 0;
  }
}

async function confirm(flags: ChangeFlags, plan: Plan | undefined, asks: boolean, typed: Change["typed"]): Promise<void> {
  const accepted = new Set(flags.accept ?? []);
  const open = (plan?.risks ?? []).filter((risk) => !accepted.has(risk.code) && risk.code !== "teardown");
  const isTerminal = process.stdin.isTTY === true && process.stderr.isTTY === true;
  if (typed !== undefined && hasChanges(plan)) {
    if (accepted.has(typed.accept)) return;
    if (!isTerminal) throw new UsageError(`needs --accept ${typed.accept}; nothing was changed`);
    if ((await ask(`Type ${typed.name} to go on: `)) !== typed.name) throw new UsageError("not confirmed; nothing was changed");
    return;
  }
  const risk = open[0];
  if (risk !== undefined && !isTerminal)
    throw new UsageError(`needs --accept ${risk.code} (${risk.message}); nothing was changed`);
  if ((risk === undefined && (!asks || flags.yes === true)) || !hasChanges(plan)) return;
  if (!isTerminal) throw new UsageError("needs a confirmation and there is no terminal: add -y; nothing was changed");
  if (!/^y(es)?$/i.test(await ask("Go on? [y/N] "))) throw new UsageError("not confirmed; nothing was changed");
}

async function ask(question: string): Promise<string> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await prompt.question(question)).trim();
  } finally {
    prompt.close();
  }
}

function hasChanges(plan: Plan | undefined): boolean {
  return plan !== undefined && (plan.steps.length > 0 || plan.changes.length > 0 || plan.deckies.length > 0);
}

const marks: Partial<Record<ChangeAction, string>> = {
  [ChangeAction.ADDED]: "  +",
  [ChangeAction.REMOVED]: "  -",
  [ChangeAction.CHANGED]: "+/-",
  [ChangeAction.STAGED]: "  s",
};

function formatPlan(plan: Plan | undefined, indent = ""): string {
  if (!hasChanges(plan) || plan === undefined) return `${indent}nothing to do`;
  const parts = plan.deckies.map((part) => `${part.action} ${part.decky?.name ?? ""}\n${formatPlan(part.plan, "  ")}`);
  const lines = plan.changes.flatMap((change) => [
    `${marks[change.action] ?? "  ?"} ${change.service}`,
    ...change.fields.map(
      (field) =>
        `    ${marks[field.action] ?? "  ?"} ${field.key}  ${field.secret ? "(secret)" : visible([field.before, field.after].filter((text) => text !== "").join(" → "))}`,
    ),
  ]);
  const steps = plan.steps.map((step) => `    ${step.number} ${step.verb} ${step.target}  (${step.cause})`);
  const untouched = plan.untouched.length > 0 ? [`  = ${plan.untouched.join(", ")}  not touched`] : [];
  const risks =
    plan.deckies.length > 0
      ? []
      : plan.risks.map(
          (risk) =>
            `  ! ${risk.message} (risk: ${risk.code})${risk.subjects.length > 0 ? `: ${visible(risk.subjects.slice(0, 5).join(", "))}` : ""}`,
        );
  return [...lines, ...steps, ...parts, ...untouched, ...risks].map((line) => indent + line).join("\n");
}

export function optionsOf(flags: ChangeFlags, fixed: { dryRun: boolean; expectedPlan: string }): OptionsInit {
  if (flags.onFailure !== undefined && flags.onFailure !== "undo" && flags.onFailure !== "keep")
    throw new UsageError("--on-failure is undo or keep");
  return {
    requestId: fixed.dryRun ? "" : (flags.requestId ?? ""),
    ...(flags.expect === undefined ? {} : { expectedRevision: parseRevision(flags.expect) }),
    expectedPlan: fixed.expectedPlan,
    dryRun: fixed.dryRun,
    reason: flags.reason ?? "",
    onFailure: flags.onFailure === "keep" ? OnFailure.KEEP : OnFailure.UNDO,
    wait: Wait.APPLIED,
  };
}

/** `r41` or `41` */
export function parseRevision(text: string): number {
  const number = /^r?(\d{1,9})$/.exec(text)?.[1];
  if (number === undefined) throw new UsageError(`a revision is a number such as r41, not ${JSON.stringify(text)}`);
  return Number(number);
}

function durationMs(wait: string | undefined): number | undefined {
  if (wait === undefined || wait === "applied") return undefined;
  const [, amount = "", unit = "s"] = /^(\d{1,6})(ms|s|m|h)?$/.exec(wait) ?? [];
  if (amount === "") throw new UsageError("--wait is applied, accepted, or a time such as 30s");
  return Number(amount) * ({ ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit] ?? 1_000);
}
