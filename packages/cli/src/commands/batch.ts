import { create, type JsonObject, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import {
  type BatchChangeSchema,
  BatchMutateRequestSchema,
  type BatchMutateResponse,
  BatchMutateResponseSchema,
  type BatchResult,
  BatchResultSchema,
  type BatchSummary,
  BatchSummarySchema,
  UpdateMode,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { PlanSchema, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Command, InvalidArgumentError } from "commander";
import { questionsFor } from "../change/confirm.ts";
import { type ChangeFlags, checkAccepted, type OptionsInit, optionsOf } from "../change/options.ts";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { parseSettings, settingsRules } from "../documents/parse-settings.ts";
import { readMessage } from "../documents/to-message.ts";
import type { SettingsRules } from "../documents/to-settings.ts";
import { changing, type SettingsFlags, takingSettings } from "../flags.ts";
import { formatDocument, isForPrograms } from "../forms.ts";
import { isMap } from "../maps.ts";
import { during, endLive, isInteractive, isVerbose, print, printRaw, progress, remark, say, showLive } from "../output.ts";
import { ask, askHidden } from "../prompts.ts";
import { type Form, formOf } from "../read-flags.ts";
import { exitOfResult, formatBatchCounters, formatBatchResult, planOfBatch } from "../text/batch.ts";
import { worstExit } from "../text/verdict.ts";
import { UsageError } from "../usage-error.ts";

interface BatchFlags extends ChangeFlags, SettingsFlags {
  readonly select?: string;
  readonly maxFailures?: number;
  readonly parallel?: number;
}

interface Request {
  readonly select: string;
  readonly changes: MessageInitShape<typeof BatchChangeSchema>[];
  readonly parallel: number;
  readonly maxFailures: number;
}

/** For more deckies than this the user types their number. */
const mostWithoutCount = 10;
const mostLines = 20;

/** `decnet batch …` */
export function registerBatch(program: Command, cli: Cli): void {
  changing(
    takingSettings(program.command("batch [action] [slug] [settings...]"))
      .description("One change on many deckies (add, remove, set, replace), or many changes from a file.")
      .option("--select <filter>", "the deckies, for instance host=edge-03,service=ftp")
      .option("-f, --file <file>", "changes from a YAML file, - for standard input")
      .option("--max-failures <count>", "start no more after this many failures", parseCount)
      .option("--parallel <count>", "changes at the same time (16)", parseCount),
    {
      examples: [
        'batch --select service=ftp remove ftp --reason "no ftp any more" --max-failures 2',
        "batch --select 'name=web-*' set ssh password=@secret.txt -y",
        "batch -f changes.yaml --accept count=40",
      ],
      rpc: "MutationService/BatchMutate",
      body: '{"select":"service=ftp","changes":[{"remove":{"service":"ftp"}}],"maxFailures":2}',
    },
  ).action((action: string | undefined, slug: string | undefined, settings: string[], flags: BatchFlags) =>
    cli.withConnection(async (connection) => {
      const rules = await settingsRules(connection, flags);
      return runBatch(connection, await readRequest(action, slug, settings, flags, rules), flags);
    }),
  );
}

function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("is a number");
  return Number(text);
}

async function readRequest(
  action: string | undefined,
  slug: string | undefined,
  settings: readonly string[],
  flags: BatchFlags,
  rules: SettingsRules,
): Promise<Request> {
  if (flags.expect !== undefined || flags.expectPlan !== undefined)
    throw new UsageError("--expect and --expect-plan are for one decky");
  const limits = {
    ...(flags.maxFailures === undefined ? {} : { maxFailures: flags.maxFailures }),
    ...(flags.parallel === undefined ? {} : { parallel: flags.parallel }),
  };
  if (action === undefined) {
    if (flags.file === undefined)
      throw new UsageError("name a change (add, remove, set, replace) with --select, or a file with -f");
    const request = readMessage(flags.file, BatchMutateRequestSchema, rules);
    const { select, changes, parallel, maxFailures } = request;
    return { select, changes, parallel, maxFailures, ...(flags.select === undefined ? {} : { select: flags.select }), ...limits };
  }
  if (slug === undefined || flags.select === undefined || flags.select === "")
    throw new UsageError("a change of many deckies is: decnet batch --select FILTER add|remove|set|replace SLUG [key=value…]");
  const { config } = await parseSettings(settings, { file: flags.file, slug, rules }, askHidden);
  return { select: flags.select, changes: [changeOf(action, slug, config)], parallel: 0, maxFailures: 0, ...limits };
}

function changeOf(action: string, service: string, config: JsonObject): MessageInitShape<typeof BatchChangeSchema> {
  switch (action) {
    case "add":
      return { change: { case: "add", value: { service, config } } };
    case "remove":
      return { change: { case: "remove", value: { service } } };
    case "set":
    case "replace": {
      const mode = action === "set" ? UpdateMode.MERGE : UpdateMode.REPLACE;
      return { change: { case: "update", value: { service, config, mode, apply: true } } };
    }
    default:
      throw new UsageError(`a change is add, remove, set or replace, not ${JSON.stringify(action)}`);
  }
}

/** plan → ask → run, each change with its own line, the counters last. Returns the worst exit code of all changes. */
async function runBatch(connection: Connection, request: Request, flags: BatchFlags): Promise<number> {
  const form = formOf(flags);
  const isForPeople = !isForPrograms(form) && form !== "name";
  checkAccepted(flags.accept ?? [], connection.context.name);
  const dry = await during("planning", gather(connection, request, optionsOf(flags, planning)));
  const plan = planOfBatch(dry);
  if (flags.plan === true || flags.dryRun === true) {
    if (isForPeople) print(plan.text);
    else printRaw(formatDocument(form === "yaml" ? "yaml" : "json", { results: dry.map(toDocument) }));
    return flags.exitCode === true && plan.deckies > 0 ? 10 : 0;
  }
  if (dry.length === 0) return nothingSelected(request, form);
  if (isForPeople) remark(plan.text);
  if (plan.deckies > 0) await seekConsent(connection, request, flags, plan);
  return execute(connection, request, flags, form);
}

/** Nothing is sent: a change of no decky would only be one more line in the history. */
function nothingSelected({ select }: Request, form: Form): number {
  if (form === "jsonl") printRaw(JSON.stringify({ type: "result", operation: "", total: 0, exit: 0 }));
  else if (isForPrograms(form))
    printRaw(formatDocument(form === "yaml" ? "yaml" : "json", { results: [], summary: { total: 0 } }));
  else remark(`no decky fits ${select}; nothing was changed`);
  return 0;
}

const planning = { dryRun: true, expectedPlan: "" } as const;

async function gather(connection: Connection, request: Request, options: OptionsInit): Promise<BatchResult[]> {
  const results: BatchResult[] = [];
  for await (const { item } of connection.mutations.batchMutate({ ...request, options }))
    if (item.case === "result") results.push(item.value);
  return results;
}

async function seekConsent(
  { context }: Connection,
  { changes }: Request,
  flags: BatchFlags,
  { deckies, risks }: ReturnType<typeof planOfBatch>,
): Promise<void> {
  const isMany = deckies > mostWithoutCount;
  const input = { accepted: flags.accept ?? [], yes: flags.yes === true, context };
  const asks = changes.some(({ change }) => change?.case !== "add");
  const count = { name: String(deckies), accept: `count=${deckies}` };
  const many = isMany ? questionsFor({ ...input, plan: undefined, asks: true, typed: count }) : [];
  const risky = create(PlanSchema, { risks: [...risks] });
  const plain = questionsFor({ ...input, plan: risky, asks: asks && !isMany, typed: undefined }).filter(
    (question) => many.length === 0 || question.kind === "yes",
  );
  for (const question of [...many, ...plain]) {
    if (!isInteractive()) throw new UsageError(`needs ${question.flags} (${question.why}); nothing was changed`);
    const text =
      question.kind === "type"
        ? `This changes ${deckies} deckies. Type ${question.text} to go on: `
        : `${question.why}. Change ${deckies} ${deckies === 1 ? "decky" : "deckies"}? [y/N] `;
    const answer = await ask(text);
    const isAgreed = question.kind === "type" ? answer === question.text : /^y(es)?$/i.test(answer);
    if (!isAgreed) throw new UsageError("not confirmed; nothing was changed");
  }
}

async function execute(connection: Connection, request: Request, flags: BatchFlags, form: Form): Promise<number> {
  const isForPeople = !isForPrograms(form) && form !== "name";
  const options: OptionsInit = {
    ...optionsOf(flags, { dryRun: false, expectedPlan: "" }),
    wait: flags.wait === "accepted" ? Wait.ACCEPTED : Wait.APPLIED,
  };
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once("SIGINT", onInterrupt);
  const results: BatchResult[] = [];
  let last = create(BatchSummarySchema);
  try {
    for await (const response of connection.mutations.batchMutate({ ...request, options }, { signal: interrupted.signal })) {
      if (form === "jsonl") printRaw(JSON.stringify(lineOf(response)));
      if (response.item.case === "summary") last = response.item.value;
      if (response.item.case !== "result") continue;
      results.push(response.item.value);
      if (isForPeople) tell(response.item.value, results, last.total);
    }
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    say(`no more changes are started; those that were go on: decnet op get ${last.operation}`);
  } finally {
    process.off("SIGINT", onInterrupt);
    endLive();
  }
  const exit = interrupted.signal.aborted ? 130 : worstExit(results.map(exitOfResult));
  conclude(last.finished ? last : countOf(results, last), results, form, exit);
  return exit;
}

/** One line for programs; `type` says which of the two it is. */
function lineOf(response: BatchMutateResponse): object {
  const { item } = response;
  if (item.case === "summary") return { type: "summary", ...asObject(toJson(BatchSummarySchema, item.value)) };
  return item.case === "result" ? { type: "change", ...asObject(toJson(BatchResultSchema, item.value)) } : { type: "heartbeat" };
}

function asObject(value: unknown): object {
  return isMap(value) ? value : {};
}

function tell(result: BatchResult, results: readonly BatchResult[], total: number): void {
  const isPlain = result.error === undefined && (result.operation?.waitingFor ?? "") === "";
  if (!isPlain || total <= mostLines || isVerbose()) progress(formatBatchResult(result, results.length, total));
  showLive(`${formatBatchCounters(countOf(results, create(BatchSummarySchema, { total })))}   Ctrl-C stops starting new ones`);
}

/** The counters, from the results that have come. */
function countOf(results: readonly BatchResult[], { total, operation }: BatchSummary): BatchSummary {
  const failed = results.filter(({ error }) => error !== undefined).length;
  const queued = results.filter((result) => result.error === undefined && (result.operation?.waitingFor ?? "") !== "").length;
  return create(BatchSummarySchema, { total, operation, failed, queued, done: results.length - failed - queued });
}

function conclude(last: BatchSummary, results: readonly BatchResult[], form: Form, exit: number): void {
  if (form === "name") printRaw(last.operation);
  else if (form === "jsonl") printRaw(JSON.stringify({ type: "result", operation: last.operation, exit }));
  else if (isForPrograms(form))
    printRaw(
      formatDocument(form === "yaml" ? "yaml" : "json", {
        results: results.map(toDocument),
        summary: toJson(BatchSummarySchema, last),
      }),
    );
  else {
    const line = `${formatBatchCounters(last)}   ${last.operation}`;
    if (exit === 0) print(line);
    else say(`${line}\n next:  decnet op list --select parent=${last.operation}`);
  }
}

function toDocument(result: BatchResult) {
  return toJson(BatchMutateResponseSchema, create(BatchMutateResponseSchema, { item: { case: "result", value: result } }));
}
