import { setTimeout as delay } from "node:timers/promises";
import { type Operation, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Connection } from "../connection.ts";
import { isVerbose, progress, showLive } from "../output.ts";
import { readParts } from "../pages.ts";
import { visible } from "../text/layout.ts";
import { formatCounters, formatPart } from "../text/parts.ts";

const everyMs = 500;
const mostLines = 20;

/** Says which parts of a change of many deckies have ended, and how many wait, until the signal is aborted. */
export async function followParts(connection: Connection, parent: Operation, signal: AbortSignal): Promise<void> {
  const seen = new Set<string>();
  const total = parent.children.length;
  for (;;) {
    const isLast = signal.aborted;
    const parts = await readParts(connection, parent.id).catch(() => undefined);
    if (parts !== undefined) {
      for (const part of parts) {
        const isOpen = part.state === OperationState.PENDING || part.state === OperationState.RUNNING;
        if (isOpen || seen.has(part.id)) continue;
        seen.add(part.id);
        if (part.state !== OperationState.SUCCEEDED || total <= mostLines || isVerbose())
          progress(visible(formatPart(part, seen.size, total)));
      }
      showLive(formatCounters(parts));
    }
    if (isLast) return;
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}
