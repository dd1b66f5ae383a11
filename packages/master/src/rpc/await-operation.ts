import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { OperationSchema } from "@decnet/common/gen/decnet/v1/operation_pb";
import { OperationFailed } from "@decnet/common/rpc/errors";
import { hasEnded, type OperationRecord, type OperationStore } from "../operations/operation-store.ts";
import { toOperationMessage } from "./messages.ts";

const usualWaitMs = 15 * 60_000;
/** Left for the answer to travel. */
const spareMs = 200;

/**
 * Waits for the operation's end within the caller's deadline and answers it; an operation that is not over by then is answered as it is. A failed
 * one is thrown, with the operation as a detail.
 */
export async function awaitOperation(
  record: OperationRecord,
  wait: boolean,
  operations: OperationStore,
  context: HandlerContext,
  stopping: AbortSignal,
): Promise<MessageInitShape<typeof OperationSchema>> {
  if (!wait || record.row.id === "") return toOperationMessage(record);
  const waitMs = Math.max(0, (context.timeoutMs() ?? usualWaitMs) - spareMs);
  const enough = new AbortController();
  const timer = setTimeout(() => enough.abort(), waitMs);
  try {
    const signal = AbortSignal.any([context.signal, stopping, enough.signal]);
    const last = hasEnded(record.row) ? await operations.get(record.row.id) : await operations.waitForEnd(record.row.id, signal);
    const message = toOperationMessage(last);
    const { row } = last;
    if (row.state === "failed") {
      const error = row.error;
      const reason = error?.reason ?? "APPLY_FAILED";
      throw new OperationFailed(reason, error?.message ?? "the change failed", create(OperationSchema, message), {
        metadata: { operation: row.id, decky: row.deckyName, undone: String(error?.undone ?? false) },
        outputTail: error?.outputTail ?? [],
      });
    }
    if (row.state === "cancelled")
      throw new OperationFailed("OPERATION_CANCELLED", "the operation was cancelled", create(OperationSchema, message), {
        metadata: { operation: row.id },
      });
    return message;
  } finally {
    clearTimeout(timer);
  }
}
