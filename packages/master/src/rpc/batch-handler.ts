import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { createChannel } from "@decnet/common/runtime/channel";
import { runBounded } from "@decnet/common/runtime/run-bounded";
import { createPace } from "@decnet/common/runtime/slices";
import {
  type BatchChange,
  type BatchMutateRequest,
  BatchMutateRequestSchema,
  type BatchMutateResponse,
  BatchMutateResponseSchema,
  type BatchResult,
  type BatchResultSchema,
  type MutationService,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { MutationOptionsSchema, type MutationOptions as OptionsMessage } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { renderNextSteps } from "@decnet/contract/reasons";
import { toRefMessage } from "@decnet/engine/wire/decky-spec";
import type { Mutation, MutationOptions } from "../decide/resolve-mutation.ts";
import { labelOf } from "../model/decky.ts";
import { hasEnded, type Operation, type OperationRecord } from "../model/operation.ts";
import type { WaitedFor } from "../store/operations.ts";
import { waitingFor, waitsForHost } from "./await-operation.ts";
import { deckyFilter, parseFilter } from "./filters.ts";
import { toOperationMessage } from "./messages.ts";
import { hashRequest } from "./mutating-request.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseOptions, parseRef, waits } from "./requests.ts";
import { parseAdd, parseRemove, parseUpdate, type ServiceChange } from "./service-changes.ts";

/** The part of a result that the change itself tells. */
type ResultInit = Pick<Exclude<MessageInitShape<typeof BatchResultSchema>, BatchResult>, "operation" | "error">;

/** What one change may expect of its decky. */
type Expected = Pick<MutationOptions, "expectedPlan" | "expectedRevision">;
type DeckyOf = ReturnType<typeof parseRef>;

interface BatchItem {
  readonly decky: DeckyOf;
  readonly change: ServiceChange;
  readonly expected: Expected;
}

const usualParallel = 16;
const maxItems = 50_000;
/** So many results wait for their reader as they are. */
const mostWhole = 500;
const mostViolations = 50;

/**
 * Many changes as one operation with a part for each. Everything that can be refused beforehand is refused before the first
 * change is stored; afterwards each change stands for itself. A caller that goes away stops the start of further changes, and
 * what was stored goes on.
 */
export function createBatchHandler(parts: MasterParts): ServiceImpl<typeof MutationService>["batchMutate"] {
  return async function* batchMutate(request, context) {
    const options = parseOptions(request.options);
    if (options.expectedRevision !== undefined || options.expectedPlan !== "")
      throw invalid([{ field: "options", description: "expected_revision and expected_plan go with each change" }]);
    const actor = callerOf(context).name;
    const requestHash = hashRequest(parts, BatchMutateRequestSchema, request);
    const asked = { actor, options, requestHash };
    const earlier = await parts.batches.find(asked);
    if (earlier !== undefined) return yield* tellAgain(parts, earlier, waits(request.options), context);
    const items = await expand(parts, request, context.signal);
    const { row: parent, isRepeated } = await parts.batches.begin(asked, items.length);
    if (isRepeated) return yield* tellAgain(parts, parent, waits(request.options), context);
    const counts = { done: 0, failed: 0, queued: 0 };
    const turns = new Map<string, Promise<unknown>>();
    let begun = 0;
    const progress = createChannel<BatchMutateResponse>();
    const common = { actor, requestHash } as const;
    const runOne = async (item: BatchItem, index: number): Promise<void> => {
      const isEnough = request.maxFailures > 0 && counts.failed >= request.maxFailures;
      if (isEnough || context.signal.aborted || parts.stopping.aborted || parts.isLate()) return;
      begun += 1;
      const { changeFor, ...what } = item.change;
      const { service } = what;
      const { scope, name } = item.decky;
      const label = labelOf(item.decky);
      const mutation: Mutation = {
        ...common,
        ...what,
        scope,
        decky: name,
        change: changeFor(name),
        // One id is the whole batch's: its parts are found through their parent.
        options: { ...options, ...item.expected, requestId: "" },
        ...(parent.id === "" ? {} : { parent: parent.id }),
      };
      // Changes of one decky are stored in the order in which they stand in the request.
      const stored = (turns.get(label) ?? Promise.resolve())
        .then(() => requireLive(scope, parts))
        .then(() => parts.mutations.submit(mutation));
      turns.set(
        label,
        stored.catch(() => undefined),
      );
      // A reader who does not keep up gets the rest without plans and steps: GetOperation has them.
      const asShown = (record: OperationRecord) => (progress.length < mostWhole ? record : withoutDetails(record));
      const result = await follow(parts, { stored, label }, waits(request.options), asShown, context);
      if (result.error !== undefined) counts.failed += 1;
      else if (result.isQueued) counts.queued += 1;
      else counts.done += 1;
      const decky = toRefMessage(item.decky);
      progress.push(
        create(BatchMutateResponseSchema, { item: { case: "result", value: { ...result.message, index, decky, service } } }),
      );
    };
    const running = runBounded(items, request.parallel || usualParallel, runOne)
      .finally(() => parts.batches.close(parent.id, items.length - begun))
      .then(() => {
        const skipped = items.length - begun;
        progress.push(summary({ operation: parent.id, total: items.length, ...counts, skipped, finished: true }));
        progress.end();
      })
      .catch((error: unknown) => progress.fail(error));
    yield summary({ operation: parent.id, total: items.length });
    yield* progress;
    await running;
  };
}

/** The same request again: how the first one stands, or ended. */
async function* tellAgain(parts: MasterParts, batch: Operation, isWaiting: boolean, context: HandlerContext) {
  const { id } = batch;
  const isHeld = async (row: WaitedFor) => (await waitingFor(id, row, parts)) !== "";
  const record = { row: batch, steps: [], children: [] };
  if (isWaiting) await parts.board.waitForEnd(record, AbortSignal.any([context.signal, parts.stopping]), isHeld);
  const { isClosed, ...counts } = await parts.batches.count(id);
  yield summary({ operation: id, ...counts, finished: isClosed });
}

async function follow(
  parts: MasterParts,
  { stored: submitted, label }: { readonly stored: Promise<OperationRecord>; readonly label: string },
  isWaiting: boolean,
  asShown: (record: OperationRecord) => OperationRecord,
  context: HandlerContext,
): Promise<{ message: ResultInit; error?: AppError; isQueued: boolean }> {
  try {
    const stored = await submitted;
    const away = (row: WaitedFor) => waitsForHost(row, parts);
    const isDryRun = stored.row.id === "";
    const last =
      isDryRun || !isWaiting
        ? stored
        : await parts.board.waitForEnd(stored, AbortSignal.any([context.signal, parts.stopping]), (row) => away(row) !== "");
    const operation = toOperationMessage(asShown(last), away(last.row));
    const isFailed = last.row.state === "failed" || last.row.state === "cancelled";
    const error = isFailed
      ? new AppError(last.row.error?.reason ?? "OPERATION_CANCELLED", last.row.error?.message ?? "the operation was cancelled")
      : undefined;
    return {
      message: { operation, ...(error === undefined ? {} : { error: toErrorMessage(error, label) }) },
      ...(error === undefined ? {} : { error }),
      isQueued: !isDryRun && !hasEnded(last.row),
    };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { message: { error: toErrorMessage(error, label) }, error, isQueued: false };
  }
}

/** Who it is and how it ended. */
function withoutDetails({ row }: OperationRecord): OperationRecord {
  return { row: { ...row, plan: null, receipt: null }, steps: [], children: [] };
}

function toErrorMessage({ reason, message, metadata, outputTail }: AppError, decky: string) {
  return { reason, message, next: renderNextSteps(reason, { ...metadata, decky }), outputTail: [...outputTail] };
}

/** Throws TOPOLOGY_NOT_FOUND or TOPOLOGY_STATE. */
async function requireLive(scope: string, { topologies }: MasterParts): Promise<void> {
  if (scope !== "fleet") await topologies.requireLive(scope);
}

/** One item for each change of each decky. Throws when anything of the request cannot be. */
async function expand(parts: MasterParts, request: BatchMutateRequest, signal: AbortSignal): Promise<BatchItem[]> {
  if (request.changes.length === 0) throw invalid([{ field: "changes", description: "at least one is needed" }]);
  const tooMany = () => invalid([{ field: "select", description: `at most ${maxItems} changes in one batch` }]);
  if (request.changes.length > maxItems) throw tooMany();
  const pace = createPace(signal);
  const changes: ReturnType<typeof parseChange>[] = [];
  for (const [index, change] of request.changes.entries()) {
    changes.push(parseChange(parts, change, request.select !== "", index));
    await pace();
  }
  const terms = parseFilter(request.select, deckyFilter, "select");
  const page = { size: maxItems + 1 };
  const names = request.select === "" ? [] : await parts.store.deckies.names({ terms, page });
  // Counted before it is made.
  const total = changes.reduce((sum, { decky }) => sum + (decky === undefined ? names.length : 1), 0);
  if (total > maxItems) throw tooMany();
  const items = changes.flatMap(({ decky, ...each }) =>
    (decky === undefined ? names : [decky]).map((one) => ({ decky: one, ...each })),
  );
  refuseOutlived(items);
  return items;
}

function parseChange(
  { catalog }: MasterParts,
  { change }: BatchChange,
  isSelecting: boolean,
  index: number,
): { decky: DeckyOf | undefined; change: ServiceChange; expected: Expected } {
  if (change.case === undefined) throw invalid([{ field: `changes[${index}]`, description: "add, remove or update" }]);
  if (isSelecting && change.value.decky !== undefined)
    throw invalid([{ field: `changes[${index}].decky`, description: "is chosen by select" }]);
  const decky = isSelecting ? undefined : parseRef(change.value.decky);
  const expected = parseExpected(change.value.options, `changes[${index}].${change.case}.options`, isSelecting);
  switch (change.case) {
    case "add":
      return { decky, expected, change: parseAdd(change.value, catalog) };
    case "remove":
      return { decky, expected, change: parseRemove(change.value) };
    case "update":
      return { decky, expected, change: parseUpdate(change.value, catalog) };
    default:
      return change satisfies never;
  }
}

/** Of the options of one change, the batch takes what is about its decky alone. */
function parseExpected(given: OptionsMessage | undefined, field: string, isSelecting: boolean): Expected {
  const { expectedPlan, expectedRevision } = parseOptions(given);
  if (given === undefined) return { expectedPlan, expectedRevision };
  const own = { expectedPlan: given.expectedPlan, expectedRevision: given.expectedRevision };
  if (!equals(MutationOptionsSchema, given, create(MutationOptionsSchema, own)))
    throw invalid([
      { field, description: "only expected_plan and expected_revision; the rest is said once, in the batch's options" },
    ]);
  if (isSelecting && isExpecting({ expectedPlan, expectedRevision }))
    throw invalid([{ field, description: "expected_plan and expected_revision are for one decky, and select chooses several" }]);
  return { expectedPlan, expectedRevision };
}

function isExpecting({ expectedPlan, expectedRevision }: Expected): boolean {
  return expectedPlan !== "" || expectedRevision !== undefined;
}

/** Another change of the same decky would make another plan of what was agreed to, and another revision. */
function refuseOutlived(items: readonly BatchItem[]): void {
  const times = new Map<string, number>();
  for (const { decky } of items) times.set(labelOf(decky), (times.get(labelOf(decky)) ?? 0) + 1);
  const violations = items.flatMap(({ decky, expected }, index) =>
    isExpecting(expected) && (times.get(labelOf(decky)) ?? 0) > 1
      ? [
          {
            field: `changes[${index}]`,
            description: `${labelOf(decky)} has another change in this batch: no expected plan would hold`,
          },
        ]
      : [],
  );
  if (violations.length > 0) throw invalid(violations.slice(0, mostViolations));
}

function summary(value: {
  operation: string;
  total: number;
  done?: number;
  failed?: number;
  queued?: number;
  skipped?: number;
  finished?: boolean;
}): BatchMutateResponse {
  return create(BatchMutateResponseSchema, { item: { case: "summary", value } });
}
