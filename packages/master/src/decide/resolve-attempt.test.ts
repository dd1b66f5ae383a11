import { describe, expect, it } from "vitest";
import type { Resolution } from "./resolution.ts";
import {
  applied,
  attemptOf,
  away,
  cancelled,
  context,
  failed,
  keep,
  now,
  op,
  outcome,
  resolve,
  situationOf,
  undoing,
  web,
} from "./resolve-attempt.test.support.ts";
import type { AttemptEnd } from "./resolve-attempt.ts";
import { decideUndo } from "./undo.ts";

it("a row without a culprit does not exist: the undo of nothing is a failed one", () => {
  const given = { revisions: ["ssh"], open: [] };
  const how = { slugs: [""], isInterrupted: false };
  expect(decideUndo(situationOf(given), attemptOf(given), [], how, context.catalog)).toEqual({ kind: "undo_failed" });
});

it("a failed undo says both failures, and what the decky shows is the last one", () => {
  const given = { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", undoing)] };
  const { operations, decky } = resolve(given, failed("redis"));
  expect(operations[0]?.patch.error?.message).toBe("first; the undo failed too: no");
  expect(decky).toMatchObject({ patch: { message: "no" } });
});

it("an unfinished decky is shown as degraded also when its host saw all of it running", () => {
  const given = { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", keep)] };
  expect(resolve(given, failed("redis")).decky).toMatchObject({ patch: { state: "degraded" } });
});

it.each([
  ["the first failure", 0, 5_000],
  ["the third", 2, 20_000],
  ["any after many", 20, 150_000],
])("no repair of what cannot be undone is tried at once: %s", (_name, failures, delayMs) => {
  const given = { decky: { failures, retryCause: "no image" }, revisions: ["ssh"], open: [op(1, "repair", 1)] };
  expect(resolve(given, failed()).decky).toMatchObject({ patch: { retryAt: new Date(now.getTime() + delayMs) } });
});

describe("a redeploy that fails", () => {
  const at = (ip: string) => [{ ...web.attachments[0], ip }] as const;
  const before = { identity: web.identity, attachments: web.attachments };
  const after = { identity: { ...web.identity, hostname: "other" }, attachments: at("10.0.0.9") };
  const given = { decky: { ...after, appliedIdentity: before }, revisions: ["ssh", "ssh"], open: [op(1, "change_decky", 2)] };
  const patchOf = ({ decky }: Resolution) => (decky.kind === "patch" ? decky.patch : {});

  it.each([
    ["at its base", failed()],
    ["at a service", failed("ssh")],
  ])("%s is the machine again that it was", (_name, end) => {
    const resolution = resolve(given, end);
    expect(resolution.why).toBe("reverted");
    expect(patchOf(resolution)).toMatchObject(before);
  });

  it("stays the new one when its failure is kept, and when it is another one by now", () => {
    expect(patchOf(resolve({ ...given, open: [op(1, "change_decky", 2, "", keep)] }, failed()))).not.toHaveProperty("identity");
    expect(patchOf(resolve({ ...given, began: { attachments: at("10.0.0.7") } }, failed()))).not.toHaveProperty("identity");
  });

  it("goes back to what was seen last, which every apply says", () => {
    expect(patchOf(resolve(given, applied))).toMatchObject({ appliedIdentity: after });
  });
});

it("a repair that did not help says what is seen after it, and when it may be tried again", () => {
  const end = outcome(undefined, "degraded", "ssh: exited with code 1");
  const { operations, decky } = resolve({ revisions: ["ssh"], open: [op(1, "repair", 1)] }, end);
  expect(operations[0]?.patch.error?.message).toBe("the repair did not help: ssh: exited with code 1");
  const retryCause = "the repair did not help: ssh: exited with code 1";
  expect(decky).toMatchObject({ patch: { retryCause, retryAt: new Date(now.getTime() + 5_000) } });
});

it("a failure says what to call next, and where a move failed", () => {
  const given = { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2)] };
  expect(resolve(given, failed()).operations[0]?.patch.error).toEqual({
    reason: "APPLY_FAILED",
    message: "on edge-2: no",
    next: ["decnet decky get web", "decnet op get op-1 --output-log"],
    outputTail: [],
    undone: false,
  });
});

it("what was seen of a decky is stored with the end, and nothing of one that was not seen", () => {
  const given = { revisions: ["ssh"], open: [op(1, "repair", 1)] };
  const observedAfter = (end: AttemptEnd) => {
    const { decky } = resolve(given, end);
    return decky.kind === "patch" ? decky.patch : decky;
  };
  expect(observedAfter(applied)).toMatchObject({ observed: { baseId: "b", services: [] }, observedAt: now });
  const unseen: AttemptEnd =
    applied.kind === "done" ? { ...applied, outcome: { ...applied.outcome, judged: undefined } } : applied;
  expect(observedAfter(unseen)).toMatchObject({ observed: null, state: "pending" });
});

it("ends and a changed state are told, in this order, and nothing is told of an operation that goes on", () => {
  const given = { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] };
  const topics = (end: AttemptEnd) => resolve(given, end).events.map(({ topic }) => topic);
  expect(topics(applied)).toEqual(["decky.web.service_added", "decky.web.lifecycle", "decky.web.state"]);
  expect(topics(failed("redis"))).toEqual([]);
});

it("a change whose image could not be had says so", () => {
  const step = { number: 1, verb: "prepare-image", target: "debian:12", cause: "", service: "redis" };
  const end = outcome({ step, reason: "IMAGE_UNAVAILABLE", message: "no such image", outputTail: [] });
  const given = { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] };
  expect(resolve(given, end).operations[0]?.patch.error).toMatchObject({ reason: "IMAGE_UNAVAILABLE", message: "no such image" });
});

it("the undo of a change that was cancelled is of whoever cancelled it, with the reason", () => {
  const cancelledBy = { actor: "bob", reason: "wrong decky", requestId: "" };
  const given = { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", { ...cancelled, cancelledBy })] };
  const undo = resolve(given, { kind: "interrupted" });
  expect(undo.revision).toMatchObject({ actor: "bob", reason: "cancel of op-1: wrong decky", operationId: "op-1" });
  const own = resolve({ ...given, open: [op(1, "add_service", 2, "redis")] }, failed("redis"));
  expect(own.revision).toMatchObject({ actor: "ann", reason: "undo of op-1" });
});
