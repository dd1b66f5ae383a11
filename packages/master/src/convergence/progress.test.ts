import type { PlanView } from "@decnet/engine/plan/plan";
import type { StepReport } from "@decnet/engine/wire/outcome";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { emptyPlan, makeOperation, type NewOperation, type OperationStep, type PlanRecord } from "../model/operation.ts";
import { createProgress, type ProgressOptions, recordedOperation } from "./progress.ts";

const op = (id: string, more: Partial<NewOperation> = {}) =>
  makeOperation({ createdAt: new Date(0), id, kind: "add_service", actor: "ann", ...more });
const error = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: false } as const;
const step = { number: 1, verb: "create", target: "web-ssh", cause: "requested", service: "ssh" };
const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
const started: StepReport = { kind: "started", step, at: at(1) };
const succeeded: StepReport = { kind: "succeeded", step, at: at(2) };
const failed: StepReport = { kind: "failed", step, at: at(2), message: "no", outputTail: ["a line"] };
const plan: PlanView = { steps: [step], untouched: ["web"], risks: [], digest: "d" };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount(), "timers that are left behind").toBe(0);
  vi.useRealTimers();
});

function useProgress(more: Partial<ProgressOptions> = {}) {
  const written: { plans: [string, PlanRecord][]; steps: readonly OperationStep[] }[] = [];
  const warn = vi.fn();
  const progress = createProgress({
    log: { warn },
    open: [op("op-1")],
    appliedRevision: 4,
    attempt: 2,
    record: async (plans, steps) => void written.push({ plans: [...plans], steps }),
    ...more,
  });
  return { progress, written, warn };
}

describe("steps", () => {
  it.each<[name: string, events: StepReport[], expected: Partial<OperationStep>]>([
    [
      "that was cut off",
      [started],
      { state: "failed", outputTail: ["cut off: its apply ended; how far it got was seen afterwards"] },
    ],
    ["that succeeded", [started, succeeded], { state: "succeeded", startedAt: at(1), finishedAt: at(2) }],
    ["that failed", [started, failed], { state: "failed", outputTail: ["no", "a line"], finishedAt: at(2) }],
    ["whose beginning was not told", [succeeded], { state: "succeeded", startedAt: at(2), finishedAt: at(2) }],
  ])("%s", async (_name, events, expected) => {
    const { progress } = useProgress();
    for (const event of events) progress.onStep(event);
    await progress.stop("its apply ended");
    expect(progress.steps).toMatchObject([
      { operationId: "op-1", attempt: 2, number: 1, verb: "create", service: "ssh", ...expected },
    ]);
  });

  it.each([
    ["the newest operation", [op("op-1"), op("op-2")], "op-2"],
    ["the one that is being undone", [op("op-1", { error }), op("op-2")], "op-1"],
    ["nobody", [], undefined],
  ])("belong to %s", (_name, open, id) => expect(recordedOperation(open)?.id).toBe(id));
});

describe("the plan", () => {
  it("is of every operation that the apply is for, and not of one that is being undone", async () => {
    const { progress } = useProgress({ open: [op("op-1", { error }), op("op-2"), op("op-3")] });
    progress.onPlan(plan);
    await progress.stop("its apply ended");
    expect([...progress.plans.keys()]).toEqual(["op-2", "op-3"]);
  });

  it("keeps what the operation says of itself: its changes, and the revision that it builds on", async () => {
    const changes = [{ service: "ssh", action: "added", fields: [] }] as const;
    const open = [op("op-1", { plan: emptyPlan({ baseRevision: 1, changes }) }), op("op-2")];
    const { progress } = useProgress({ open });
    progress.onPlan(plan);
    await progress.stop("its apply ended");
    expect(progress.plans.get("op-1")).toMatchObject({ baseRevision: 1, changes, text: "1 create web-ssh (requested)" });
    expect(progress.plans.get("op-2")).toMatchObject({ baseRevision: 4, changes: [], digest: "d" });
  });
});

describe("what an apply wrote", () => {
  it("of one that is quick is nothing: it is stored with the end", async () => {
    const { progress, written } = useProgress();
    progress.onPlan(plan);
    progress.onStep(started);
    await vi.advanceTimersByTimeAsync(249);
    progress.onStep(succeeded);
    await progress.stop("its apply ended");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toEqual([]);
    expect(progress.steps).toHaveLength(1);
  });

  it("of one that takes longer is everything so far, once in a while", async () => {
    const { progress, written } = useProgress();
    progress.onPlan(plan);
    progress.onStep(started);
    await vi.advanceTimersByTimeAsync(250);
    expect(written).toMatchObject([{ plans: [["op-1", { digest: "d" }]], steps: [{ state: "running" }] }]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toHaveLength(1);
    progress.onStep(succeeded);
    progress.onStep({ ...started, step: { ...step, number: 2 } });
    await vi.advanceTimersByTimeAsync(250);
    expect(written[1]?.steps.map(({ state }) => state)).toEqual(["succeeded", "running"]);
    await progress.stop("its apply ended");
  });

  it("is complete before the end is stored", async () => {
    let store: (() => void) | undefined;
    const stored = new Promise<void>((resolve) => {
      store = resolve;
    });
    const { progress } = useProgress({ record: () => stored });
    progress.onStep(started);
    await vi.advanceTimersByTimeAsync(250);
    let isOver = false;
    const stopped = progress.stop("its apply ended").then(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(isOver).toBe(false);
    store?.();
    await stopped;
  });

  it("may be missing: the work goes on when the database is away", async () => {
    const { progress, warn } = useProgress({ record: () => Promise.reject(new Error("away")) });
    progress.onStep(started);
    await vi.advanceTimersByTimeAsync(250);
    progress.onStep(succeeded);
    await progress.stop("its apply ended");
    expect(warn).toHaveBeenCalledWith("progress was not recorded", { operation: "op-1", err: new Error("away") });
  });

  it("is nothing after the end: a step that comes late only is known", async () => {
    const { progress, written } = useProgress();
    await progress.stop("its apply ended");
    progress.onStep(succeeded);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toEqual([]);
  });
});
