import { describe, expect, it } from "vitest";
import type { Decky } from "../model/decky.ts";
import { makeOperation, type Operation } from "../model/operation.ts";
import { type Action, type DeckyChange, decideDeckyPart, wantedDecky } from "./decky-change.ts";
import { formatResolution } from "./format-resolution.ts";

/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", scope: "fleet", name: "web", host: "edge-1", ip: "10.0.0.2", pendingRemovals: [], version: 1 },
  ...{ desiredRevision: 3, appliedRevision: 3, renderedRevision: 3 },
  ...{ leaving: false, repairPaused: true, state: "degraded", message: "", failures: 0, retryAt: null },
};
const web = known as Decky;
const context = { catalog: { services: new Map(), digest: "" }, makeId: () => "op-new" };
const ssh = { slug: "ssh", config: {} };
const redis = { slug: "redis", config: {} };
const identity = { ...{ hostname: "web", distro: "debian", osFamily: "linux" }, archetype: "", baseImage: "b", buildBase: "b" };
const parent = makeOperation({
  createdAt: new Date(0),
  id: "op-1",
  kind: "apply_fleet",
  actor: "ann",
  reason: "bait",
  onFailure: "keep",
  whenAway: "refuse",
});
const waiting = makeOperation({
  createdAt: new Date(0),
  id: "op-2",
  kind: "add_service",
  actor: "bob",
  revision: 3,
  host: "edge-1",
});

function change(action: Exclude<Action, "keep">, more: Partial<DeckyChange> = {}) {
  return {
    decky: web,
    host: web.host,
    identity,
    attachments: web.attachments,
    before: [ssh],
    services: [ssh, redis],
    ...more,
    action,
  };
}

function tell(what: ReturnType<typeof change>, open: readonly Operation[] = []): string {
  const part = decideDeckyPart(parent, what, open, "", context);
  const text =
    part.kind === "new"
      ? `new on ${part.decky.host} · r${part.revision.number} · ${part.operation.kind} ${part.operation.state}`
      : formatResolution({ decky: part.decky }, part.resolution);
  return text;
}

describe("the part of a decky in a change of many", () => {
  const goes = "opens op-new pending";
  it.each<[name: string, what: ReturnType<typeof change>, open: readonly Operation[], text: string]>([
    ["a new decky", change("deploy", { before: [] }), [], "new on edge-1 · r1 · deploy_decky pending"],
    ["other services", change("change"), [], `r4: bait [ssh redis] · ${goes} · desired r4, state changing, repair paused false`],
    [
      "another identity",
      change("redeploy", { services: [ssh] }),
      [],
      `r4: bait [ssh] · ${goes} · desired r4, state changing, repair paused false`,
    ],
    [
      "another host: it is removed from the old one",
      change("move", { host: "edge-2" }),
      [],
      `r4: bait [ssh redis] · ${goes} · desired r4, rendered r0, host edge-2, state changing, removals [edge-1]` +
        ", repair paused false",
    ],
    [
      "another host, while a change waits, which goes along",
      change("move", { host: "edge-2" }),
      [waiting],
      `r4: bait [ssh redis] · op-2 pending · ${goes} · desired r4, rendered r0, host edge-2, state changing` +
        ", removals [edge-1], repair paused false",
    ],
    [
      "another host, before anything was begun: there is nothing to remove",
      change("move", { host: "edge-2", decky: { ...web, renderedRevision: 0 } }),
      [waiting],
      `r4: bait [ssh redis] · op-2 pending · ${goes} · desired r4, host edge-2, state changing, repair paused false`,
    ],
    [
      "another host, while its first apply runs: it may have left something",
      change("move", { host: "edge-2", decky: { ...web, renderedRevision: 0 } }),
      [{ ...waiting, state: "running" }],
      `r4: bait [ssh redis] · op-2 running · ${goes} · desired r4, host edge-2, state changing, removals [edge-1]` +
        ", repair paused false",
    ],
    [
      "a teardown",
      change("teardown", { services: [ssh] }),
      [],
      `r4: bait [ssh] · ${goes} · desired r4, state changing, leaving true, repair paused false`,
    ],
  ])("%s", (_name, what, open, text) => expect(tell(what, open)).toBe(text));
});

it("a part is done as the whole was asked for", () => {
  const { operation } = decideDeckyPart(parent, change("change"), [], "digest", context);
  expect(operation).toMatchObject({
    ...{ parent: "op-1", actor: "ann", reason: "bait", onFailure: "keep", whenAway: "refuse", expectedPlan: "digest" },
    ...{ kind: "change_decky", deckyId: "web-id", deckyName: "web", host: "edge-1", revision: 4, requestId: null },
    plan: { baseRevision: 3, changes: [{ service: "redis", action: "added" }] },
  });
});

it("what waits for a decky that moves waits for its new host", () => {
  const part = decideDeckyPart(parent, change("move", { host: "edge-2" }), [waiting], "", context);
  expect(part.kind === "changed" ? part.resolution.operations : []).toEqual([{ operation: waiting, patch: { host: "edge-2" } }]);
});

it("the change of a teardown is the removal of every service", () => {
  const { operation } = decideDeckyPart(parent, change("teardown", { services: [ssh] }), [], "", context);
  expect(operation.plan?.changes).toMatchObject([{ service: "ssh", action: "removed" }]);
});

it("a host is told of a decky as it is to be there", () => {
  const lan = { name: "lan", driver: "bridge", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined } as const;
  const attachments = [{ lan, ip: "10.0.0.9", mac: "00:50:56:00:00:01" }] as const;
  const what = change("move", { host: "edge-2", attachments, identity: { ...identity, hostname: "other" } });
  expect(wantedDecky(what)).toMatchObject({ host: "edge-2", attachments, identity: { hostname: "other" } });
});
