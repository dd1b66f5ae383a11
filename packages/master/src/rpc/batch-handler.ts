import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { createChannel } from "@decnet/common/runtime/channel";
import { runBounded } from "@decnet/common/runtime/run-bounded";
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
import { renderNextSteps } from "@decnet/contract/reasons";
import { toRefMessage } from "@decnet/engine/wire/decky-spec";
import type { Mutation } from "../decide/resolve-mutation.ts";
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

type DeckyOf = ReturnType<typeof parseRef>;

interface BatchItem {
  readonly decky: DeckyOf;
  readonly change: ServiceChange;
}

const usualParallel = 16;
const maxItems = 50_000;

/**
 * Many changes as one operation with a part for each. Everything that can be refused beforehand is refused before the first
 * change is stored; afterwards each change stands for itself. A caller that goes away stops the start of further changes, and
 * what was stored goes on.
 */
export function createBatchHandler(parts: MasterParts): ServiceImpl<typeof MutationService>["batchMutate"] {
  return async function* batchMutate(request, context) {
    const options = parseOptions(request.options);
    if (options.expectedRevision !== undefined || options.expectedPlan !== "")
      throw invalid([{ field: "options", description: "expected_revision and expected_plan are for one decky" }]);
    const actor = callerOf(context).name;
    const requestHash = hashRequest(parts, BatchMutateRequestSchema, request);
    const asked = { actor, options, requestHash };
    const earlier = await parts.batches.find(asked);
    if (earlier !== undefined) return yield* tellAgain(parts, earlier, waits(request.options), context);
    const items = await expand(parts, request);
    const { row: parent, isRepeated } = await parts.batches.begin(asked, items.length);
    if (isRepeated) return yield* tellAgain(parts, parent, waits(request.options), context);
    const counts = { done: 0, failed: 0, queued: 0 };
    const turns = new Map<string, Promise<unknown>>();
    let begun = 0;
    const progress = createChannel<BatchMutateResponse>();
    const common = { actor, requestHash } as const;
    const runOne = async (item: BatchItem, index: number): Promise<void> => {
      const isEnough = request.maxFailures > 0 && counts.failed >= request.maxFailures;
      if (isEnough || context.signal.aborted || parts.stopping.aborted) return;
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
        options: { ...options, requestId: "" },
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
      const result = await follow(parts, { stored, label }, waits(request.options), context);
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
    const operation = toOperationMessage(last, away(last.row));
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

function toErrorMessage({ reason, message, metadata, outputTail }: AppError, decky: string) {
  return { reason, message, next: renderNextSteps(reason, { ...metadata, decky }), outputTail: [...outputTail] };
}

/** Throws TOPOLOGY_NOT_FOUND or TOPOLOGY_STATE. */
async function requireLive(scope: string, { topologies }: MasterParts): Promise<void> {
  if (scope !== "fleet") await topologies.requireLive(scope);
}

/** One item for each change of each decky. Throws when anything of the request cannot be. */
async function expand(parts: MasterParts, request: BatchMutateRequest): Promise<BatchItem[]> {
  if (request.changes.length === 0) throw invalid([{ field: "changes", description: "at least one is needed" }]);
  const changes = request.changes.map((change, index) => parseChange(parts, change, request.select !== "", index));
  const terms = parseFilter(request.select, deckyFilter, "select");
  const page = { size: maxItems + 1 };
  const names = request.select === "" ? [] : await parts.store.deckies.names({ terms, page });
  const items = changes.flatMap(({ decky, change }) =>
    (decky === undefined ? names : [decky]).map((each) => ({ decky: each, change })),
  );
  if (items.length > maxItems) throw invalid([{ field: "select", description: `at most ${maxItems} changes in one batch` }]);
  return items;
}

function parseChange(
  { catalog }: MasterParts,
  { change }: BatchChange,
  isSelecting: boolean,
  index: number,
): { decky: DeckyOf | undefined; change: ServiceChange } {
  if (change.case === undefined) throw invalid([{ field: `changes[${index}]`, description: "add, remove or update" }]);
  if (isSelecting && change.value.decky !== undefined)
    throw invalid([{ field: `changes[${index}].decky`, description: "is chosen by select" }]);
  const decky = isSelecting ? undefined : parseRef(change.value.decky);
  switch (change.case) {
    case "add":
      return { decky, change: parseAdd(change.value, catalog) };
    case "remove":
      return { decky, change: parseRemove(change.value) };
    case "update":
      return { decky, change: parseUpdate(change.value, catalog) };
    default:
      return change satisfies never;
  }
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
