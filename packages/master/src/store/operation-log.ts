import type { Logger } from "@decnet/common/logging/logger";
import { hasEnded, type Operation } from "../model/operation.ts";

/** One line for each change that was accepted, repairs among them, and one for its end. */
export interface OperationLog {
  accepted(operation: Operation): void;
  /** Nothing is said of an operation that has not ended. */
  ended(operation: EndedOperation): void;
}

export type EndedOperation = Pick<
  Operation,
  "id" | "kind" | "state" | "deckyName" | "service" | "host" | "revision" | "error" | "createdAt" | "finishedAt"
>;

export function createOperationLog(log: Logger, onEnded: (operation: EndedOperation) => void = () => undefined): OperationLog {
  return {
    accepted(operation) {
      const { actor, reason, parent } = operation;
      log.info("a change was accepted", { ...subjectOf(operation), ...withoutEmpty({ actor, why: reason, parent }) });
    },
    ended(operation) {
      if (!hasEnded(operation)) return;
      onEnded(operation);
      const { state, error, createdAt, finishedAt } = operation;
      log.info("a change ended", {
        ...subjectOf(operation),
        state,
        ...(error === null ? {} : { reason: error.reason, message: error.message, undone: error.undone }),
        tookMs: (finishedAt ?? new Date()).getTime() - createdAt.getTime(),
      });
    },
  };
}

function subjectOf({ id, kind, deckyName, service, host, revision }: EndedOperation) {
  const revisionIfAny = revision === 0 ? "" : revision;
  return { operation: id, ...withoutEmpty({ kind, decky: deckyName, service, host, revision: revisionIfAny }) };
}

function withoutEmpty(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== "" && value !== null));
}
