import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import {
  OperationSchema,
  type OperationService,
  OperationStepSchema,
  WatchOperationResponseSchema,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import { kAudit } from "../access/audit.ts";
import { hasEnded } from "../model/operation.ts";
import type { WaitedFor } from "../store/operations.ts";
import { waitingFor, waitsForHost } from "./await-operation.ts";
import { operationFilter, parseFilter } from "./filters.ts";
import { toOperationMessage, toStepMessage } from "./messages.ts";
import { createPageTokens } from "./page-tokens.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, parseId, parseReason, parseRequestId } from "./requests.ts";

export function createOperationHandlers(parts: MasterParts): ServiceImpl<typeof OperationService> {
  const { store, board, cancellations, stopping } = parts;
  const waits = (id: string, row: WaitedFor) => waitingFor(id, row, parts);
  return {
    async listOperations(request) {
      const terms = parseFilter(request.filter, operationFilter);
      const pages = createPageTokens(parts.fingerprint, "operations", terms);
      const { rows, counts, next } = await store.operations.list({ terms, page: pages.parse(request, 50) });
      return {
        operations: rows.map((row) => toOperationMessage({ row, steps: [], children: [] }, waitsForHost(row, parts))),
        counts,
        nextPageToken: pages.make(next),
      };
    },
    async getOperation({ id }) {
      const record = await store.operations.get(parseId(id));
      return { operation: toOperationMessage(record, await waits(id, record.row)) };
    },
    async *watchOperation({ id }, context) {
      const sent = new Map<string, string>();
      let state = "";
      for await (const record of board.watch(parseId(id), AbortSignal.any([context.signal, stopping]))) {
        for (const step of record.steps) {
          const key = `${step.attempt}/${step.number}`;
          if (sent.get(key) === step.state) continue;
          sent.set(key, step.state);
          yield create(WatchOperationResponseSchema, {
            item: { case: "step", value: create(OperationStepSchema, toStepMessage(step)) },
          });
        }
        const waiting = await waits(id, record.row);
        if (`${record.row.state} ${waiting}` === state) continue;
        state = `${record.row.state} ${waiting}`;
        yield create(WatchOperationResponseSchema, {
          item: { case: "operation", value: create(OperationSchema, toOperationMessage(record, waiting)) },
        });
        if (hasEnded(record.row)) return;
      }
      // An end that is not the operation's must not look like it.
      context.signal.throwIfAborted();
      throw new AppError("SHUTTING_DOWN", "the master is shutting down", { retryAfterMs: 1_000 });
    },
    async cancelOperation({ id, reason, requestId }, context) {
      const request = {
        id: parseId(id),
        actor: callerOf(context).name,
        reason: parseReason(reason, "reason"),
        requestId: parseRequestId(requestId, "request_id"),
        audit: context.values.get(kAudit),
      };
      const record = await cancellations.cancel(request);
      return { operation: toOperationMessage(record, await waits(id, record.row)) };
    },
  };
}
