import type { Logger } from "@decnet/common/logging/logger";
import { formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import type { StepReport } from "@decnet/engine/wire/outcome";
import { type Operation, type OperationStep, type PlanRecord, toPlanRecord, withWarnings } from "../model/operation.ts";

export interface ProgressOptions {
  readonly log: Pick<Logger, "warn">;
  /** The operations that the apply works for, oldest first; at least one. */
  readonly open: readonly Operation[];
  readonly appliedRevision: number;
  /** Number of this attempt at the operation whose steps are recorded. */
  readonly attempt: number;
  /** Stores what is known so far. */
  readonly record: (plans: ReadonlyMap<string, PlanRecord>, steps: readonly OperationStep[]) => Promise<void>;
}

/**
 * What is known of one apply while it runs. It is written with the end of the apply; an apply that takes longer is written behind
 * the work, which does not wait for it.
 */
export interface Progress {
  onPlan(plan: PlanView): void;
  onStep(event: StepReport): void;
  /**
   * Nothing more is written behind; resolves when what was begun is written. A step that runs still was cut off, by what the
   * message says.
   */
  stop(cutOffBy: string): Promise<void>;
  /** The plan of each operation that was planned for. */
  readonly plans: ReadonlyMap<string, PlanRecord>;
  /** Every step in its newest state. */
  readonly steps: readonly OperationStep[];
}

const behindMs = 250;
const mostSteps = 1_000;

/** The operation that the steps of an apply belong to: the one that is being undone, or the newest. */
export function recordedOperation(open: readonly Operation[]): Operation | undefined {
  return open.find((operation) => operation.error !== null) ?? open.at(-1);
}

function cutOff(step: OperationStep, by: string, finishedAt: Date): OperationStep {
  return { ...step, state: "failed", outputTail: [`cut off: ${by}; how far it got was seen afterwards`], finishedAt };
}

export function createProgress({ log, open, appliedRevision, attempt, record }: ProgressOptions): Progress {
  const operationId = recordedOperation(open)?.id ?? "";
  const steps = new Map<number, OperationStep>();
  const plans = new Map<string, PlanRecord>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;
  let isOver = false;
  let isNewer = false;

  /** One write at a time: what comes meanwhile is in the next one. */
  const write = async () => {
    timer = undefined;
    isNewer = false;
    writing = record(plans, [...steps.values()]).catch((error: unknown) =>
      log.warn("progress was not recorded", { operation: operationId, err: error }),
    );
    await writing;
    writing = undefined;
    if (isNewer) changed();
  };
  const changed = () => {
    isNewer = true;
    if (!isOver && writing === undefined) timer ??= setTimeout(() => void write(), behindMs);
  };

  return {
    plans,
    get steps() {
      return [...steps.values()];
    },
    onPlan(plan) {
      const text = formatPlan(plan);
      for (const operation of open) {
        if (operation.error !== null) continue;
        const base = operation.plan?.baseRevision ?? appliedRevision;
        const planned = toPlanRecord(plan, text, base, operation.plan?.changes ?? []);
        plans.set(operation.id, withWarnings(planned, operation.plan?.warnings));
      }
      changed();
    },
    onStep(event) {
      const { number, verb, target, cause, service } = event.step;
      // No plan has so many; a worker may say anything.
      if (!steps.has(number) && steps.size >= mostSteps) return;
      steps.set(number, {
        operationId,
        attempt,
        number,
        verb,
        target,
        cause,
        service,
        state: event.kind === "started" ? "running" : event.kind,
        outputTail: event.kind === "failed" ? [event.message, ...event.outputTail] : [],
        startedAt: steps.get(number)?.startedAt ?? event.at,
        finishedAt: event.kind === "started" ? null : event.at,
      });
      changed();
    },
    async stop(cutOffBy) {
      isOver = true;
      clearTimeout(timer);
      for (const [number, step] of steps) if (step.state === "running") steps.set(number, cutOff(step, cutOffBy, new Date()));
      await writing;
    },
  };
}
