import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { OperationFailed } from "@decnet/common/rpc/errors";
import { OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { hasEnded, type Operation, type OperationRecord } from "../model/operation.ts";
import type { WaitedFor } from "../store/operations.ts";
import { toOperationMessage } from "./messages.ts";
import type { MasterParts } from "./parts.ts";

const usualWaitMs = 15 * 60_000;
/** A host that was connected so shortly ago is not away: its agent renews its certificate or is restarted. */
const briefMs = 2_000;
/** Left for the response to travel. */
const spareMs = 200;

/**
 * Waits for the operation's end within the caller's deadline and returns it; an operation that is not over by then, or that waits
 * for a host that is away, is returned as it is. A failed one is thrown, with the operation as a detail.
 */
export async function awaitOperation(
  record: OperationRecord,
  wait: boolean,
  parts: Pick<MasterParts, "store" | "board" | "hosts" | "converger" | "stopping">,
  context: HandlerContext,
): Promise<MessageInitShape<typeof OperationSchema>> {
  const { store, board, stopping } = parts;
  const { id } = record.row;
  const waits = (row: WaitedFor) => waitingFor(id, row, parts);
  if (!wait || id === "") return toOperationMessage(record, id === "" ? "" : await waits(record.row));
  const waitMs = Math.max(0, (context.timeoutMs() ?? usualWaitMs) - spareMs);
  const enough = new AbortController();
  const timer = setTimeout(() => enough.abort(), waitMs);
  try {
    const signal = AbortSignal.any([context.signal, stopping, enough.signal]);
    const last = hasEnded(record.row)
      ? await store.operations.get(id)
      : await board.waitForEnd(record, signal, async (row) => (await waits(row)) !== "");
    const message = toOperationMessage(last, await waits(last.row));
    throwUnlessGood(last.row, message);
    return message;
  } finally {
    clearTimeout(timer);
  }
}

function throwUnlessGood(row: Operation, message: MessageInitShape<typeof OperationSchema>): void {
  if (row.state === "failed") {
    const error = row.error;
    throw new OperationFailed(
      error?.reason ?? "APPLY_FAILED",
      error?.message ?? "the change failed",
      create(OperationSchema, message),
      {
        metadata: { operation: row.id, decky: row.deckyName, host: row.host, undone: String(error?.undone ?? false) },
        outputTail: error?.outputTail ?? [],
      },
    );
  }
  if (row.state === "cancelled")
    throw new OperationFailed("OPERATION_CANCELLED", "the operation was cancelled", create(OperationSchema, message), {
      metadata: { operation: row.id },
    });
}

/** What an operation cannot go on without: a host that is away. Empty when nothing keeps it, and for one with parts. */
export function waitsForHost(row: WaitedFor, { hosts, converger }: Pick<MasterParts, "hosts" | "converger">): string {
  if (hasEnded(row) || row.deckyId === null) return "";
  const missing = hosts.isReachable(row.host) ? converger.blockedOn(row.deckyId) : row.host;
  if (missing === undefined) return "";
  const since = hosts.lostAt(missing);
  if (missing !== hosts.own && since !== undefined && Date.now() - since.getTime() < briefMs) return "";
  const what = missing === hosts.own ? "whose engine does not answer" : "which is not connected";
  return `host ${missing}, ${what}${since === undefined ? "" : ` since ${since.toISOString()}`}`;
}

/** The same for any operation: one with parts waits when everything that is left of it does. */
export async function waitingFor(
  id: string,
  row: WaitedFor,
  parts: Pick<MasterParts, "store" | "hosts" | "converger">,
): Promise<string> {
  if (hasEnded(row) || row.deckyId !== null) return waitsForHost(row, parts);
  const left = (await parts.store.operations.openParts(id)).map((part) => waitsForHost(part, parts));
  return left.includes("") ? "" : [...new Set(left)].slice(0, 3).join("; ");
}
