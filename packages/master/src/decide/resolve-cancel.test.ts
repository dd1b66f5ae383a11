import { expect, it } from "vitest";
import type { Decky } from "../model/decky.ts";
import { makeOperation, type NewOperation, type Operation } from "../model/operation.ts";
import { formatResolution } from "./format-resolution.ts";
import type { Resolution } from "./resolution.ts";
import { resolveCancel } from "./resolve-cancel.ts";
import type { Situation } from "./situation.ts";

const now = new Date("2026-01-01T00:00:00Z");
/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", scope: "fleet", name: "web", host: "local", lastHost: "local", pendingRemovals: [] },
  ...{ appliedRevision: 1, renderedRevision: 1, leaving: false, repairPaused: false },
  ...{ state: "changing", message: "", failures: 0, lastOperation: null, version: 1 },
  ...{ retryAt: null, retryCause: "", observed: { baseId: "b", services: [] }, appliedIdentity: null, aheadRevision: 0 },
};
const web = known as Decky;
const never = { appliedRevision: 0, renderedRevision: 0, lastHost: null };

/** The services of each revision, from the first on; the last one is desired. `redis=2`: other settings. */
function situationOf(revisions: readonly string[], open: readonly Operation[], decky: Partial<Decky> = {}): Situation {
  const servicesOf = (text: string) =>
    text.split(" ").map((word) => {
      const [slug = "", version = ""] = word.split("=");
      return { slug, config: { version } };
    });
  return {
    decky: { ...web, desiredRevision: revisions.length, ...decky },
    open,
    revisions: new Map(revisions.map((text, index) => [index + 1, servicesOf(text)])),
    attempts: new Map(),
    movePolicy: "remove_first",
  };
}

const op = (number: number, kind: Operation["kind"], revision: number, service = "", more: Partial<NewOperation> = {}) =>
  makeOperation({ createdAt: new Date(0), id: `op-${number}`, kind, actor: "ann", deckyName: "web", revision, service, ...more });
const running = { state: "running" } as const;
const error = { reason: "APPLY_FAILED", message: "no", next: [], outputTail: [], undone: false } as const;

function tell(situation: Situation, resolution: Resolution | undefined): string {
  if (resolution === undefined) return "nothing to cancel";
  const { revision } = resolution;
  const services = revision?.services.map(({ slug, config }) => ({
    slug: config["version"] === "" ? slug : `${slug}=${config["version"]}`,
    config,
  }));
  const told = revision === undefined ? resolution : { ...resolution, revision: { ...revision, services: services ?? [] } };
  return formatResolution(situation, told);
}

const cancel = (situation: Situation, reason = "") =>
  resolveCancel(situation, { operationId: "op-1", actor: "bob", reason, requestId: "", now, makeId: () => "op-new" });

it.each<[name: string, situation: Situation, text: string]>([
  [
    "a waiting change, while the decky is as it was: nothing is left to be done",
    situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis")]),
    "r3: cancel of op-1 [ssh] · op-1 cancelled · desired r3, applied r3, state running",
  ],
  [
    "a waiting change below a later one, which goes on",
    situationOf(["ssh", "ssh redis", "ssh redis http"], [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")]),
    "r4: cancel of op-1 [ssh http] · op-1 cancelled · desired r4",
  ],
  [
    "a waiting removal below a later change: the service is back with its settings",
    situationOf(["redis=1 ssh", "ssh", "ssh http"], [op(1, "remove_service", 2, "redis"), op(2, "add_service", 3, "http")]),
    "r4: cancel of op-1 [ssh http redis=1] · op-1 cancelled · desired r4",
  ],
  [
    "a waiting change of settings below a later one of the same service, which is the one that counts",
    situationOf(
      ["redis=1", "redis=2", "redis=3"],
      [op(1, "update_service_config", 2, "redis"), op(2, "update_service_config", 3, "redis")],
    ),
    "r4: cancel of op-1 [redis=3] · op-1 cancelled · desired r4",
  ],
  [
    "the later one of two waiting changes",
    situationOf(["ssh", "ssh redis", "ssh redis http"], [op(2, "add_service", 2, "redis"), op(1, "add_service", 3, "http")]),
    "r4: cancel of op-1 [ssh redis] · op-1 cancelled · desired r4",
  ],
  [
    "a waiting change behind a running one",
    situationOf(
      ["ssh", "ssh redis", "ssh redis http"],
      [op(2, "add_service", 2, "redis", running), op(1, "add_service", 3, "http")],
    ),
    "r4: cancel of op-1 [ssh redis] · op-1 cancelled · desired r4",
  ],
  [
    "a waiting restore of everything",
    situationOf(["ssh", "redis http"], [op(1, "restore_revision", 2)]),
    "r3: cancel of op-1 [ssh] · op-1 cancelled · desired r3, applied r3, state running",
  ],
  [
    "a waiting restore of everything below a later change, which builds on it: its apply undoes it",
    situationOf(["ssh", "redis", "redis http"], [op(1, "restore_revision", 2), op(2, "add_service", 3, "http")]),
    "op-1 cancelling",
  ],
  [
    "a waiting teardown: the decky stays",
    situationOf(["ssh", "ssh"], [op(1, "teardown_decky", 2)], { leaving: true }),
    "r3: cancel of op-1 [ssh] · op-1 cancelled · desired r3, applied r3, state running, leaving false",
  ],
  [
    "a waiting change below a teardown, which goes on",
    situationOf(["ssh", "ssh redis", "ssh redis"], [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)], {
      leaving: true,
    }),
    "r4: cancel of op-1 [ssh] · op-1 cancelled · desired r4",
  ],
  [
    "a waiting move: the decky is where it was, and a repair says so",
    situationOf(["ssh", "ssh"], [op(1, "move_decky", 2)], {
      host: "edge-2",
      lastHost: "edge-1",
      pendingRemovals: ["edge-1"],
      renderedRevision: 0,
    }),
    "r3: cancel of op-1 [ssh] · op-1 cancelled · opens op-new pending · desired r3, host edge-1, removals []",
  ],
  [
    "a waiting first deploy: the decky was never anywhere",
    situationOf(["ssh"], [op(1, "deploy_decky", 1)], never),
    "op-1 cancelled · web gone",
  ],
  [
    "a waiting first deploy below a later change, which builds on it",
    situationOf(["ssh", "ssh redis"], [op(1, "deploy_decky", 1), op(2, "add_service", 2, "redis")], never),
    "op-1 cancelling",
  ],
  [
    "a waiting change of a decky that was never applied: there is nothing to go back to yet",
    situationOf(["ssh", "ssh redis"], [op(2, "deploy_decky", 1, "", running), op(1, "add_service", 2, "redis")], never),
    "op-1 cancelling",
  ],
  [
    "a running change: its apply is interrupted and undoes it",
    situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis", running)]),
    "op-1 cancelling",
  ],
  [
    "a change that is being undone already ends as cancelled instead of failed",
    situationOf(["ssh", "ssh redis", "ssh"], [op(1, "add_service", 3, "redis", { ...running, error })]),
    "op-1 undoing APPLY_FAILED",
  ],
  ["a change that has ended", situationOf(["ssh"], []), "nothing to cancel"],
])("%s", (_name, situation, text) => expect(tell(situation, cancel(situation))).toBe(text));

it("what was to move along stays as well", () => {
  const decky = { host: "edge-2", lastHost: "edge-1", pendingRemovals: ["edge-1"], renderedRevision: 0 };
  const change = op(2, "add_service", 2, "redis", { host: "edge-2" });
  const resolution = cancel(situationOf(["ssh", "ssh redis", "ssh redis"], [change, op(1, "move_decky", 3)], decky));
  const moved = resolution?.operations.find(({ operation }) => operation.id === "op-2");
  expect(moved?.patch).toEqual({ host: "edge-1" });
});

it("a redeploy that had not begun leaves the machine what it is", () => {
  const lan = { name: "lan", driver: "bridge", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined } as const;
  const at = (ip: string) => [{ lan, ip, mac: "00:50:56:00:00:01" }] as const;
  const appliedIdentity = { identity: { hostname: "front" } as Decky["identity"], attachments: at("10.0.0.2") };
  const wanted = { identity: { hostname: "back" } as Decky["identity"], attachments: at("10.0.0.9"), appliedIdentity };
  const resolution = cancel(situationOf(["ssh", "ssh"], [op(1, "change_decky", 2)], wanted));
  expect(resolution?.decky).toMatchObject({ patch: { ...appliedIdentity, appliedRevision: 3, state: "running" } });
});

it("the revision says who cancelled and why", () => {
  const resolution = cancel(situationOf(["ssh", "ssh redis"], [op(1, "add_service", 2, "redis")]), "a mistake");
  const cancelledBy = { actor: "bob", reason: "a mistake", requestId: "" };
  expect(resolution?.operations[0]?.patch).toEqual({ state: "cancelled", cancelRequested: true, cancelledBy, finishedAt: now });
  expect(resolution?.revision).toMatchObject({ actor: "bob", reason: "cancel of op-1: a mistake", operationId: "op-1" });
});

it("whoever cancelled first stays on record", () => {
  const cancelledBy = { actor: "eve", reason: "first", requestId: "r-1" };
  const running = op(1, "add_service", 2, "redis", { state: "running", cancelRequested: true, cancelledBy });
  const resolution = cancel(situationOf(["ssh", "ssh redis"], [running]), "second");
  expect(resolution?.operations[0]?.patch).toEqual({ cancelRequested: true, cancelledBy });
});

it("a cancelled operation is told as its own caller's, and what never was is told as gone", () => {
  const resolution = cancel(situationOf(["ssh"], [op(1, "deploy_decky", 1)], never));
  expect(resolution?.events.map(({ topic, payload }) => [topic, payload["actor"] ?? payload["state"]])).toEqual([
    ["decky.web.lifecycle", "ann"],
    ["decky.web.state", "gone"],
  ]);
});
