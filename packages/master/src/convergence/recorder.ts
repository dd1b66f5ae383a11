import { setImmediate } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import { formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import type { StepReport } from "@decnet/engine/wire/outcome";
import { toPlanRecord } from "../model/operation.ts";
import type { OperationStore } from "../store/operations.ts";
import type { DeckyRow, OperationRow, StepRow } from "../store/tables.ts";

export interface RecorderOptions {
  readonly operations: OperationStore;
  readonly log: Logger;
  readonly decky: Pick<DeckyRow, "appliedRevision">;
  /** The operations that the apply works for, oldest first; at least one. */
  readonly open: readonly OperationRow[];
}

/** Writes the progress of one apply behind the work: the work does not wait, and what happens during one write goes into the next. */
export interface Recorder {
  onPlan(plan: PlanView): void;
  onStep(event: StepReport): void;
  /** Resolves when all is written. Progress that cannot be written is logged and let go. */
  flush(): Promise<void>;
}

export function createRecorder({ operations, log, decky, open }: RecorderOptions): Recorder {
  const undoing = open.find((operation) => operation.error !== null) ?? (open.at(-1) as OperationRow);
  const started = new Map<number, Date>();
  const steps = new Map<number, Omit<StepRow, "attempt">>();
  let plan: PlanView | undefined;
  let writing: Promise<void> | undefined;
  let attempt: Promise<number> | undefined;
  // An operation that was not begun before has no steps yet.
  const attemptNumber = async () => (undoing.state === "pending" ? 1 : (await operations.lastAttempt(undoing.id)) + 1);

  const writePlan = async (made: PlanView | undefined) => {
    if (made === undefined) return;
    const text = formatPlan(made);
    for (const operation of open) {
      if (operation.error !== null) continue;
      const base = operation.plan?.baseRevision ?? decky.appliedRevision;
      await operations.recordPlan(operation.id, toPlanRecord(made, text, base, operation.plan?.changes ?? []));
    }
  };
  const writeSteps = async (made: readonly Omit<StepRow, "attempt">[]) => {
    if (made.length === 0) return;
    attempt ??= attemptNumber();
    const number = await attempt;
    await operations.recordSteps(made.map((step) => ({ ...step, attempt: number })));
  };
  const writeAll = async () => {
    await setImmediate();
    while (plan !== undefined || steps.size > 0) {
      const work = [writePlan(plan), writeSteps([...steps.values()])];
      plan = undefined;
      steps.clear();
      for (const result of await Promise.allSettled(work))
        if (result.status === "rejected")
          log.warn("progress was not recorded", { operation: undoing.id, err: result.reason as unknown });
    }
    writing = undefined;
  };
  const changed = () => {
    writing ??= writeAll();
  };

  return {
    onPlan(made) {
      plan = made;
      changed();
    },
    onStep(event) {
      const { number, kind: verb, target, cause, slug: service } = event.step;
      if (event.kind === "started") started.set(number, event.at);
      steps.set(number, {
        operationId: undoing.id,
        number,
        verb,
        target,
        cause,
        service,
        state: event.kind === "started" ? "running" : event.kind,
        outputTail: event.kind === "failed" ? [event.message, ...event.outputTail] : [],
        startedAt: started.get(number) ?? event.at,
        finishedAt: event.kind === "started" ? null : event.at,
      });
      changed();
    },
    flush: async () => writing,
  };
}
