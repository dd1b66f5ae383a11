import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import type { Decky, StoredService } from "../model/decky.ts";
import { makeOperation } from "../model/operation.ts";
import { removeService } from "../model/services.ts";
import { formatResolution } from "./format-resolution.ts";
import { changeServices, type Mutation, type MutationOptions, resolveMutation } from "./resolve-mutation.ts";
import type { Situation } from "./situation.ts";

/** As much of a decky as these decisions look at. */
const known: Partial<Decky> = {
  ...{ id: "web-id", scope: "fleet", name: "web", host: "local", desiredRevision: 3, appliedRevision: 3, renderedRevision: 3 },
  ...{
    leaving: false,
    repairPaused: false,
    state: "running",
    message: "",
    pendingRemovals: [],
    failures: 0,
    retryAt: null,
    version: 1,
  },
};
const web = known as Decky;
const ssh: StoredService = { slug: "ssh", config: {} };
const redis: StoredService = { slug: "redis", config: { port: 6379 } };
const running = makeOperation({
  createdAt: new Date(0),
  id: "op-0",
  kind: "add_service",
  actor: "bob",
  revision: 3,
  state: "running",
});

const options: MutationOptions = {
  requestId: "",
  expectedRevision: undefined,
  expectedPlan: "",
  dryRun: false,
  reason: "",
  onFailure: "undo",
  whenAway: "queue",
};
const add: Mutation = {
  kind: "add_service",
  scope: "fleet",
  decky: "web",
  service: "redis",
  actor: "ann",
  options,
  requestHash: "hash",
  change: (services) => [...services, redis],
};
const same: Mutation = { ...add, kind: "update_service_config", service: "ssh", change: (services) => [...services] };
const save: Mutation = { ...same, change: (services) => services.map((each) => ({ ...each, staged: { port: 22 } })) };
const teardown: Mutation = { ...add, kind: "teardown_decky", service: "", change: (services) => [...services], leaves: true };

const context = {
  makeId: () => "op-new",
  catalog: { services: new Map(), digest: "" },
  now: new Date("2026-01-01T00:00:00Z"),
  isReachable: true,
  begins: false,
};

interface Given {
  readonly decky?: Partial<Decky>;
  readonly isBusy?: boolean;
}

function situationOf({ decky, isBusy = false }: Given): Situation {
  const open = isBusy ? [running] : [];
  return {
    decky: { ...web, ...decky },
    open,
    revisions: new Map([[3, [ssh]]]),
    attempts: new Map(),
    movePolicy: "remove_first",
  };
}

function resolve(mutation: Mutation, given: Given = {}, more: Partial<typeof context> = {}) {
  const situation = situationOf(given);
  const services = changeServices(situation, mutation, () => []);
  const decided = resolveMutation(situation, mutation, services, { ...context, ...more });
  const text = formatResolution(situation, decided.resolution);
  return { ...decided, text };
}

describe("what a mutation stores", () => {
  it.each<[name: string, mutation: Mutation, given: Given, more: Partial<typeof context>, text: string]>([
    ["an added service", add, {}, {}, "r4: add_service [ssh redis] · opens op-new pending · desired r4, state changing · again"],
    [
      "one whose apply begins at once",
      add,
      {},
      { begins: true },
      "r4: add_service [ssh redis] · opens op-new running · desired r4, state changing · again",
    ],
    [
      "one whose host is away: what is known of the decky stays known",
      add,
      {},
      { isReachable: false },
      "r4: add_service [ssh redis] · opens op-new pending · desired r4 · again",
    ],
    [
      "one for a kept failure, whose repair goes on",
      add,
      { decky: { repairPaused: true, state: "degraded" } },
      {},
      "r4: add_service [ssh redis] · opens op-new pending · desired r4, state changing, repair paused false · again",
    ],
    [
      "a save: stored and done",
      save,
      {},
      {},
      "r4: update_service_config [ssh*] · opens op-new succeeded · desired r4, applied r4",
    ],
    [
      "what is there already: stored and done",
      same,
      {},
      {},
      "r4: update_service_config [ssh] · opens op-new succeeded · desired r4, applied r4",
    ],
    [
      "what is there already, while its host is away",
      same,
      {},
      { isReachable: false },
      "r4: update_service_config [ssh] · opens op-new succeeded · desired r4, applied r4",
    ],
    [
      "what is wanted already, and not applied yet",
      same,
      { decky: { appliedRevision: 2 } },
      {},
      "r4: update_service_config [ssh] · opens op-new pending · desired r4, state changing · again",
    ],
    [
      "what is wanted already, while another change runs",
      same,
      { isBusy: true },
      {},
      "r4: update_service_config [ssh] · opens op-new pending · desired r4, state changing · again",
    ],
    [
      "what is there already, of a decky that failed: it is tried again",
      same,
      { decky: { state: "failed" } },
      {},
      "r4: update_service_config [ssh] · opens op-new pending · desired r4, state changing · again",
    ],
    [
      "a teardown",
      teardown,
      {},
      {},
      "r4: teardown_decky [ssh] · opens op-new pending · desired r4, state changing, leaving true · again",
    ],
  ])("%s", (_name, mutation, given, more, text) => expect(resolve(mutation, given, more).text).toBe(text));
});

describe("a decky whose teardown failed", () => {
  const stuck = { leaving: true, retryAt: new Date("2026-01-01T00:00:00Z") };
  const restoreOf = (service: string): Mutation => ({ ...same, kind: "restore_revision", service });

  it("is torn down once more", () => {
    expect(resolve(teardown, { decky: stuck }).text).toBe(
      "r4: teardown_decky [ssh] · opens op-new pending · desired r4, state changing · again",
    );
  });

  it("is wanted again when a revision is restored", () => {
    expect(resolve(restoreOf(""), { decky: stuck }).text).toBe(
      "r4: restore_revision [ssh] · opens op-new pending · desired r4, state changing, leaving false · again",
    );
  });

  it.each([
    ["changed in another way", add],
    ["restored in a part", restoreOf("ssh")],
  ])("is not %s", (_name, mutation) => {
    expect(() => resolve(mutation, { decky: stuck })).toThrow(expect.objectContaining({ reason: "DECKY_LEAVING" }));
  });
});

describe("what refuses a mutation", () => {
  const expecting = (expectedRevision: number): Mutation => ({ ...add, options: { ...options, expectedRevision } });
  it.each<[name: string, mutation: Mutation, decky: Partial<Decky>, reason: string]>([
    ["a decky that is being torn down", add, { leaving: true }, "DECKY_LEAVING"],
    ["another revision than the expected one", expecting(2), {}, "REVISION_CONFLICT"],
    ["a decky that leaves comes before its revision", expecting(2), { leaving: true }, "DECKY_LEAVING"],
    ["the change itself", { ...add, change: (services) => removeService(services, "redis", "web") }, {}, "SERVICE_NOT_PRESENT"],
  ])("%s", (_name, mutation, decky, reason) => {
    const attempt = () => changeServices(situationOf({ decky }), mutation, () => []);
    expect(attempt).toThrow(AppError);
    expect(attempt).toThrow(expect.objectContaining({ reason }));
  });

  it("not the revision that it expects", () => {
    expect(changeServices(situationOf({}), expecting(3), () => [])).toEqual({ before: [ssh], after: [ssh, redis] });
  });
});

it("the operation holds what was asked for, how, and what it changes", () => {
  const mutation: Mutation = {
    ...add,
    parent: "op-9",
    options: { ...options, requestId: "r-1", reason: "bait", expectedPlan: "digest", onFailure: "keep", whenAway: "refuse" },
  };
  const { operation } = resolve(mutation);
  expect(operation).toMatchObject({
    ...{ deckyId: "web-id", deckyName: "web", host: "local", service: "redis", revision: 4, actor: "ann", reason: "bait" },
    ...{ requestId: "r-1", requestHash: "hash", expectedPlan: "digest", onFailure: "keep", whenAway: "refuse", parent: "op-9" },
    plan: { baseRevision: 3, changes: [{ service: "redis", action: "added" }] },
  });
});

it("a call without a request id has none: two of them never collide", () => {
  expect(resolve(add).operation.requestId).toBeNull();
});

it("what is done at once is told as an end, the rest as a change that begins", () => {
  const topics = (mutation: Mutation) => resolve(mutation).resolution.events.map(({ topic }) => topic);
  expect(topics(save)).toEqual(["decky.web.service_config_changed", "decky.web.lifecycle"]);
  expect(topics(add)).toEqual(["decky.web.state"]);
});
