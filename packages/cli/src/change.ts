import { setTimeout as delay } from "node:timers/promises";
import { toJson } from "@bufbuild/protobuf";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type Operation, OperationSchema, PlanSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Change } from "./change/change.ts";
import { commandFor } from "./change/command-line.ts";
import { type ConfirmInput, questionsFor } from "./change/confirm.ts";
import { conclude, follow, followUnlessMoved } from "./change/follow.ts";
import { explainMove } from "./change/moved.ts";
import { type ChangeFlags, checkAccepted, optionsOf, waitMs } from "./change/options.ts";
import { findRepeated } from "./change/repeated.ts";
import { formatDocument, isForPrograms } from "./forms.ts";
import { during, endLive, isInteractive, isVerbose, print, printRaw, program, remark, say, sayIn, showLive } from "./output.ts";
import { ask } from "./prompts.ts";
import { type Form, formOf } from "./read-flags.ts";
import { inputFile } from "./settings.ts";
import { parseDuration } from "./text/duration.ts";
import { formatPlan, hasChanges, nameOf } from "./text/plan.ts";
import { UsageError } from "./usage-error.ts";

export type { ChangeFlags } from "./change/options.ts";

const mostPlans = 5;
const idlePollMs = 1_000;
const idleAtMostMs = 24 * 3_600_000;

/** plan → ask → run → verdict. What was agreed to is what is done: the call carries the plan's digest. Returns the exit code. */
export async function runChange(change: Change): Promise<number> {
  const { flags, connection } = change;
  const form = formOf(flags);
  waitMs(flags.wait);
  checkAccepted(flags.accept ?? [], connection.context.name);
  if (flags.waitIdle !== undefined && parseDuration(flags.waitIdle) === undefined)
    throw new UsageError("--wait-idle is a time such as 10m");
  if (connection.context.hasOthers)
    sayIn(connection.context.colour, `context ${connection.context.name} · ${connection.context.address}`);
  const repeated = await findRepeated(change);
  if (repeated !== undefined) {
    remark(`request id ${flags.requestId ?? ""} was already used by ${repeated.id}; nothing new is started`);
    return follow(connection, repeated.id, flags);
  }
  const planned = await makePlan(change);
  if (flags.plan === true || flags.dryRun === true) return showPlan(planned, flags, form);
  for (let round = 1; ; round += 1) {
    const dry = round === 1 ? planned : await makePlan(change);
    if (!isForPrograms(form) && form !== "name") remark(formatPlan(dry, { verbose: isVerbose() }));
    else if (form === "jsonl" && dry.plan !== undefined)
      printRaw(JSON.stringify({ type: "plan", decky: nameOf(dry), plan: toJson(PlanSchema, dry.plan) }));
    warnOfPlainSecrets(dry, change.plainKeys ?? []);
    if (!hasChanges(dry.plan) && change.always !== true) return nothingToDo(dry, form);
    const consent = await seekConsent(change, dry);
    const expectedPlan = flags.expectPlan ?? (consent.binds ? (consent.dry.plan?.digest ?? "") : "");
    const started = await submitUnlessMoved(change, expectedPlan);
    if (started instanceof Error) {
      if (mayReplan(change, consent, round)) continue;
      await explainMove(change, consent.dry);
      throw started;
    }
    if (flags.wait === "accepted") return conclude(connection, started, form);
    const end = await followUnlessMoved(connection, started.id, flags);
    if (typeof end === "number") return end;
    if (mayReplan(change, consent, round)) continue;
    await explainMove(change, consent.dry);
    return conclude(connection, end, form);
  }
}

/** The started operation, or the refusal because the plan has changed. */
async function submitUnlessMoved(change: Change, expectedPlan: string): Promise<Operation | Error> {
  try {
    const { operation } = await change.submit(optionsOf(change.flags, { dryRun: false, expectedPlan }));
    if (operation !== undefined) return operation;
  } catch (error) {
    if (error instanceof Error && fromConnectError(error).reason === "PLAN_CHANGED") return error;
    throw error;
  }
  throw new Error("the master returned no operation");
}

/** When nobody has read the plan, -y and the accepted risks apply to the next one too, and are checked against it again. */
function mayReplan({ flags }: Change, consent: Consent, round: number): boolean {
  return !consent.wasAsked && flags.expectPlan === undefined && flags.requestId === undefined && round < mostPlans;
}

async function makePlan(change: Change): Promise<Operation> {
  const { flags } = change;
  const options = optionsOf(flags, { dryRun: true, expectedPlan: flags.expectPlan ?? "" });
  try {
    const { operation } = await during("planning", change.submit(options));
    if (operation === undefined) throw new Error("the master returned no plan");
    return operation;
  } catch (error) {
    if (flags.expectPlan !== undefined && fromConnectError(error).reason === "PLAN_CHANGED") await explainMove(change, undefined);
    throw error;
  }
}

function showPlan(dry: Operation, flags: ChangeFlags, form: Form): number {
  const { plan } = dry;
  const exit = flags.exitCode === true && hasChanges(plan) ? 10 : 0;
  if (form === "jsonl") {
    if (plan !== undefined) printRaw(JSON.stringify({ type: "plan", decky: nameOf(dry), plan: toJson(PlanSchema, plan) }));
    printRaw(JSON.stringify({ type: "result", state: "PLANNED", decky: nameOf(dry), changes: hasChanges(plan), exit }));
  } else if (isForPrograms(form)) printRaw(formatDocument(form === "yaml" ? "yaml" : "json", toJson(OperationSchema, dry)));
  else if (form === "name") printRaw(plan?.digest ?? "");
  else {
    print(formatPlan(dry, { verbose: isVerbose() }));
    if (plan !== undefined && hasChanges(plan) && plan.digest !== "")
      remark(`to do exactly this:\n  ${commandFor(plan, process.argv.slice(2), { program: program(), input: inputFile() })}`);
  }
  return exit;
}

function nothingToDo(dry: Operation, form: Form): number {
  if (form === "jsonl")
    printRaw(JSON.stringify({ type: "result", state: "SUCCEEDED", decky: nameOf(dry), changes: false, exit: 0 }));
  else if (isForPrograms(form)) printRaw(formatDocument(form === "yaml" ? "yaml" : "json", toJson(OperationSchema, dry)));
  return 0;
}

function warnOfPlainSecrets(dry: Operation, plainKeys: readonly string[]): void {
  const secret = new Set(dry.plan?.changes.flatMap((each) => each.fields.filter((f) => f.secret).map((f) => f.key)));
  for (const key of plainKeys)
    if (secret.has(key))
      say(
        `warning: ${key} is a secret and was in the arguments, where others can read it; ` +
          `use ${key}=@file, ${key}=- or a bare ${key}`,
      );
}

interface Consent {
  /** The plan that was agreed to; a new one after waiting for idle sessions. */
  readonly dry: Operation;
  /** Somebody has read the plan and said yes. */
  readonly wasAsked: boolean;
  /** The call must do this plan or nothing. */
  readonly binds: boolean;
}

async function seekConsent(change: Change, first: Operation): Promise<Consent> {
  const { flags } = change;
  let dry = first;
  if (flags.waitIdle !== undefined && cutsSessions(dry))
    dry = await waitUntilIdle(change, dry, parseDuration(flags.waitIdle) ?? 0);
  const input = (): ConfirmInput => ({
    plan: dry.plan,
    accepted: flags.accept ?? [],
    yes: flags.yes === true || flags.waitIdle !== undefined,
    // Without a decky that changes nothing runs differently.
    asks: change.asks && (change.always !== true || hasChanges(dry.plan)),
    typed: change.typed,
    context: change.connection.context,
  });
  const questions = questionsFor(input());
  const pending = questions[0];
  if (pending === undefined) return { dry, wasAsked: false, binds: change.asks || (dry.plan?.risks.length ?? 0) > 0 };
  if (!isInteractive()) throw new UsageError(`needs ${pending.flags} (${pending.why}); nothing was changed`);
  for (const question of questions) {
    if (question.kind === "type") {
      const answer = await ask(`${question.why}. Type ${question.text} to go on: `);
      if (answer !== question.text) throw new UsageError("not confirmed; nothing was changed");
      continue;
    }
    const answer = await ask(`${questionText(change, dry)}? [y/N${question.canWait ? "/w = wait until idle" : ""}] `);
    if (question.canWait && /^w/i.test(answer)) dry = await waitUntilIdle(change, dry, idleAtMostMs);
    else if (!/^y(es)?$/i.test(answer)) throw new UsageError("not confirmed; nothing was changed");
  }
  return { dry, wasAsked: true, binds: true };
}

function questionText(change: Change, dry: Operation): string {
  if (dry.decky === undefined) return change.question ?? `Apply this to ${dry.topology || "the fleet"}`;
  return `${change.question ?? `Apply this to ${nameOf(dry)}`} on ${dry.host}`;
}

function cutsSessions(dry: Operation): boolean {
  return dry.plan?.risks.some((risk) => risk.code === "cut-sessions") === true;
}

/** Plans again and again until no open session would be cut. */
async function waitUntilIdle(change: Change, first: Operation, forMs: number): Promise<Operation> {
  const deadline = performance.now() + forMs;
  let dry = first;
  remark("waiting until no session is open; Ctrl-C stops waiting, nothing has been changed so far");
  while (cutsSessions(dry)) {
    const risk = dry.plan?.risks.find((each) => each.code === "cut-sessions");
    if (performance.now() > deadline)
      throw new UsageError(
        `still ${risk?.message ?? "sessions are open"}; nothing was changed. To cut them: --accept cut-sessions`,
      );
    showLive(risk?.message ?? "sessions are open");
    await delay(Math.min(idlePollMs, Math.max(1, deadline - performance.now())));
    const { operation } = await change.submit(optionsOf(change.flags, { dryRun: true, expectedPlan: "" }));
    if (operation === undefined) throw new Error("the master returned no plan");
    dry = operation;
  }
  endLive();
  return dry;
}
