import { type Context, context, ROOT_CONTEXT, type SpanContext, trace } from "@opentelemetry/api";
import { isTracing } from "./spans.ts";

/** Of which trace each operation is that was accepted here, for whoever does its work later. In memory, and bounded. */
export interface Origins {
  /** The operation belongs to the trace that is under way where this is called. */
  note(operationId: string): void;
  /** The parent of work for these operations: the trace of the first of them that has one, or none at all. */
  parentOf(operationIds: readonly string[]): Context | undefined;
}

const mostKnown = 10_000;

export function createOrigins(most = mostKnown): Origins {
  const known = new Map<string, SpanContext>();
  return {
    note(operationId) {
      if (!isTracing()) return;
      const origin = trace.getSpanContext(context.active());
      if (origin === undefined) return;
      known.set(operationId, origin);
      const [oldest] = known.keys();
      if (known.size > most && oldest !== undefined) known.delete(oldest);
    },
    parentOf(operationIds) {
      if (!isTracing()) return undefined;
      const origin = operationIds.map((id) => known.get(id)).find((each) => each !== undefined);
      // Whoever wakes a worker may be in the middle of something else, which this is no part of.
      return origin === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, origin);
    },
  };
}
