import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  OperationKind,
  OperationSchema,
  OperationState,
  OperationStepSchema,
  StepState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import { expect, it } from "vitest";
import { exitOf, formatReceipt, formatStep, formatVerdict, worstExit } from "./verdict.ts";

type OperationInit = Exclude<MessageInitShape<typeof OperationSchema>, { $typeName: string }>;

const operation = (more: OperationInit) =>
  create(OperationSchema, {
    id: "op-81bc",
    kind: OperationKind.ADD_SERVICE,
    state: OperationState.SUCCEEDED,
    decky: { name: "web-07" },
    service: "redis",
    revision: 42,
    plan: { baseRevision: 41, changes: [{ service: "redis" }] },
    createdAt: { seconds: 100n },
    finishedAt: { seconds: 102n, nanos: 300_000_000 },
    ...more,
  });

it("says what runs now and how to take it back", () => {
  expect(formatVerdict(operation({}))).toBe(
    "web-07 r42 applied, redis is running.   2.3s   op-81bc\nundo: decnet decky restore web-07 r41",
  );
  expect(formatVerdict(operation({ kind: OperationKind.TEARDOWN_DECKY }))).not.toContain("undo");
});

it("says cause, state now and next step of a failure", () => {
  const failed = operation({
    state: OperationState.FAILED,
    error: {
      reason: "APPLY_FAILED",
      message: "redis did not stay up",
      outputTail: ["one", "bind: address in use", ""],
      next: ["decnet service remove web-07 mariadb", "decnet op get op-81bc --output-log"],
      undone: true,
    },
    receipt: { othersUnchanged: true },
  });
  expect(formatVerdict(failed, { now: { state: "running", revision: 43 } })).toBe(
    [
      "error: APPLY_FAILED  redis did not stay up",
      " now:   web-07 is running at r43 (same as r41); nothing else changed",
      " cause: bind: address in use",
      " next:  decnet service remove web-07 mariadb",
      " more:  decnet op get op-81bc --output-log",
    ].join("\n"),
  );
});

it.each<[OperationState, OperationInit["error"], number]>([
  [OperationState.SUCCEEDED, {}, 0],
  [OperationState.FAILED, { reason: "APPLY_FAILED", undone: true }, 7],
  [OperationState.FAILED, { reason: "APPLY_FAILED", undone: false }, 8],
  [OperationState.FAILED, { reason: "PLAN_CHANGED", undone: false }, 4],
  [OperationState.SUPERSEDED, {}, 4],
  [OperationState.CANCELLED, {}, 4],
])("ends state %i with error %o with %i", (state, error, exit) => {
  expect(exitOf(operation({ state, error }))).toBe(exit);
});

it("answers the worst of several", () => {
  expect(worstExit([0, 4, 7, 2])).toBe(7);
  expect(worstExit([0, 8, 7])).toBe(8);
  expect(worstExit([0, 0])).toBe(0);
});

it("shows steps with their time, and the output of failed ones without their control characters", () => {
  const step = create(OperationStepSchema, {
    verb: "create",
    target: "web-07-mysql",
    cause: "requested",
    state: StepState.FAILED,
    startedAt: { seconds: 1n },
    finishedAt: { seconds: 1n, nanos: 800_000_000 },
    outputTail: ["\u001b]0;gotcha\u0007Bind failed"],
  });
  expect(formatStep(step)).toBe(
    `${"✖ create         web-07-mysql  (requested)".padEnd(56)}  0.8s\n    │ \\x1b]0;gotcha\\x07Bind failed`,
  );
  expect(formatStep({ ...step, state: StepState.SUCCEEDED, outputTail: [] }, { isUndo: true })).toMatch(
    /^✔ undo: create {3}web-07-mysql +0\.8s$/,
  );
});

it("says aloud when a sibling changed", () => {
  const containers = [{ name: "web-07", planned: false }];
  expect(formatReceipt(operation({ receipt: { containers, othersUnchanged: true } }))).toContain(
    "✔ receipt        1 sibling unchanged",
  );
  expect(formatReceipt(operation({ receipt: { containers, othersUnchanged: false } }))).toContain(
    "✖ receipt        1 sibling CHANGED",
  );
});

it("does not say of a change of many deckies that all went back because one part did", () => {
  const failed = operation({
    kind: OperationKind.APPLY_FLEET,
    decky: undefined,
    state: OperationState.FAILED,
    children: ["op-1", "op-2"],
    error: { reason: "APPLY_FAILED", message: "web-01: no", undone: true },
  });
  const text = formatVerdict(failed);
  expect(text).toContain("is changed in part: what failed is not as asked for, the rest is");
  expect(text).toContain("decnet op list --select parent=op-81bc");
  expect(text).not.toContain("last good state");
});
