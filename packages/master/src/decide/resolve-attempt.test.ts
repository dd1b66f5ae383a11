import type { HostOutcome } from "@decnet/engine/wire/outcome";
import { describe, expect, it } from "vitest";
import type { Decky, StoredService } from "../model/decky.ts";
import { makeOperation, type NewOperation, type Operation } from "../model/operation.ts";
import { formatResolution } from "./format-resolution.ts";
import type { Resolution } from "./resolution.ts";
import { type AttemptEnd, resolveAttempt } from "./resolve-attempt.ts";
import type { Situation } from "./situation.ts";
import { type Attempt, decideUndo, type Undo } from "./undo.ts";

const now = new Date("2026-01-01T00:00:00Z");
const context = { catalog: { services: new Map(), digest: "" }, now, makeId: () => "op-new", random: () => 0 };

/** Applied and desired at revision 1, on the master's own host. */
const web: Decky = {
  id: "web-id",
  scope: "fleet",
  name: "web",
  host: "local",
  attachments: [
    {
      lan: { name: "lan", driver: "bridge", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined },
      ip: "10.0.0.2",
      mac: "00:50:56:00:00:01",
    },
  ],
  identity: { hostname: "web", distro: "debian", osFamily: "linux", archetype: "", baseImage: "base", buildBase: "base" },
  desiredRevision: 1,
  appliedRevision: 1,
  renderedRevision: 1,
  leaving: false,
  repairPaused: false,
  pendingRemovals: [],
  lastHost: "local",
  state: "changing",
  message: "",
  observed: null,
  observedAt: null,
  lastOperation: null,
  failures: 0,
  retryAt: null,
  retryCause: "",
  appliedIdentity: null,
  aheadRevision: 0,
  createdAt: now,
  version: 1,
};

/** `ssh redis=2`: redis has other settings than `redis`. */
function services(text: string): StoredService[] {
  return text.split(" ").flatMap((word): StoredService[] => {
    const [slug = "", version] = word.split("=");
    return slug === "" ? [] : [{ slug, config: version === undefined ? {} : { version } }];
  });
}

interface Given {
  readonly decky?: Partial<Decky>;
  /** Services of each revision, from the first on; the last one is desired. */
  readonly revisions: readonly string[];
  readonly open?: readonly Operation[];
  /** What the apply was about, where that is no longer as the situation is. */
  readonly began?: Partial<Decky>;
}

function situationOf({ decky, revisions, open = [] }: Given): Situation {
  return {
    decky: { ...web, desiredRevision: revisions.length, ...decky },
    open,
    revisions: new Map(revisions.map((text, index) => [index + 1, services(text)])),
    attempts: new Map(),
    movePolicy: "remove_first",
  };
}

function attemptOf(given: Given): Attempt {
  const situation = situationOf(given);
  const decky = { ...situation.decky, ...given.began };
  const revision = decky.desiredRevision;
  const open = situation.open.filter((operation) => operation.revision <= revision);
  return { decky, revision, services: situation.revisions.get(revision) ?? [], open };
}

const op = (number: number, kind: Operation["kind"], revision: number, service = "", more: Partial<NewOperation> = {}) =>
  makeOperation({
    createdAt: new Date(0),
    id: `op-${number}`,
    kind,
    actor: "ann",
    state: "running",
    deckyName: "web",
    revision,
    service,
    ...more,
  });
const cancelled = { cancelRequested: true } as const;
const keep = { onFailure: "keep" } as const;
const error = { reason: "APPLY_FAILED", message: "first", next: [], outputTail: [], undone: false } as const;
const undoing = { error } as const;

function outcome(failure: HostOutcome["failure"], state: "running" | "degraded" = "running", message = ""): AttemptEnd {
  const plan = { steps: [], untouched: [], risks: [], digest: "" };
  const judged = { state, message, baseId: "b", services: [] };
  return { kind: "done", outcome: { plan, receipt: { containers: [], othersUnchanged: true }, judged, failure } };
}
const applied = outcome(undefined);
/** A step failed that was about a service; without one, about the base. */
const failed = (slug = "") =>
  outcome({
    step: { number: 1, verb: "create", target: `web-${slug}`, cause: "", service: slug },
    message: "no",
    outputTail: [],
  });
const interrupted: AttemptEnd = { kind: "interrupted" };
const refused: AttemptEnd = { kind: "refused", error: { ...error, reason: "PLAN_CHANGED" } };

/** As formatResolution says it, with the settings of the services. */
function tell(situation: Situation, resolution: Resolution): string {
  const { revision } = resolution;
  if (revision === undefined) return formatResolution(situation, resolution);
  const named = revision.services.map(({ slug, config }) => ({
    slug: "version" in config ? `${slug}=${config["version"]}` : slug,
    config,
  }));
  return formatResolution(situation, { ...resolution, revision: { ...revision, services: named } });
}

const resolve = (given: Given, end: AttemptEnd) => resolveAttempt(situationOf(given), attemptOf(given), end, context);

type Row = readonly [name: string, given: Given, end: AttemptEnd, text: string];

const firstDeploy = { decky: { appliedRevision: 0, renderedRevision: 0, lastHost: null }, revisions: ["ssh"] };
const away = { host: "edge-2", lastHost: "edge-1", pendingRemovals: ["edge-1"], renderedRevision: 0 };
const kept = 'state degraded, message "no", repair paused true, failures 1 · again';

const appliedRows: readonly Row[] = [
  [
    "a first deploy succeeds",
    { ...firstDeploy, open: [op(1, "deploy_decky", 1)] },
    applied,
    "op-1 succeeded · applied r1, rendered r1, state running",
  ],
  [
    "a service is added",
    { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running",
  ],
  [
    "several waiting changes succeed together",
    {
      revisions: ["ssh", "ssh redis", "ssh redis http"],
      open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
    },
    applied,
    "op-1 succeeded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "a later change took the place of an earlier one",
    {
      revisions: ["redis=1", "redis=2", "redis=3"],
      open: [op(1, "update_service_config", 2, "redis"), op(2, "update_service_config", 3, "redis")],
    },
    applied,
    "op-1 superseded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "a service was added and removed again before either was applied",
    {
      revisions: ["ssh", "ssh redis", "ssh"],
      open: [op(1, "add_service", 2, "redis"), op(2, "remove_service", 3, "redis")],
    },
    applied,
    "op-1 superseded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "an earlier change of everything has nothing that could replace it",
    { revisions: ["ssh", "redis", "redis http"], open: [op(1, "restore_revision", 2), op(2, "add_service", 3, "http")] },
    applied,
    "op-1 succeeded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "a change came while the apply ran",
    {
      revisions: ["ssh", "ssh redis", "ssh redis http"],
      open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
      began: { desiredRevision: 2 },
    },
    applied,
    "op-1 succeeded · applied r2, rendered r2 · again",
  ],
  [
    "an undo was seen",
    { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", undoing)] },
    applied,
    "op-1 failed APPLY_FAILED undone · applied r3, rendered r3, state running",
  ],
  [
    "the undo of a cancelled change was seen",
    { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", { ...undoing, ...cancelled })] },
    applied,
    "op-1 cancelled APPLY_FAILED undone · applied r3, rendered r3, state running",
  ],
  [
    "a kept failure is mended",
    {
      decky: { repairPaused: true, failures: 2, state: "degraded" },
      revisions: ["redis=1", "redis=2"],
      open: [op(1, "update_service_config", 2, "redis")],
    },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running, repair paused false, failures 0",
  ],
  [
    "a moved decky runs at its new place and is still at the old one",
    { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2)] },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running · again",
  ],
  [
    "a repair does not help",
    { revisions: ["ssh"], open: [op(1, "repair", 1)] },
    outcome(undefined, "degraded"),
    "op-1 failed APPLY_FAILED · state degraded, failures 1",
  ],
  [
    "a repair of drift helps: the next one is not made at once",
    { decky: { failures: 1 }, revisions: ["ssh"], open: [op(1, "repair", 1, "", { actor: "drift" })] },
    applied,
    "op-1 succeeded · state running, failures 2",
  ],
  [
    "what was tried again succeeds",
    { decky: { failures: 3 }, revisions: ["ssh", "ssh"], open: [op(1, "repair", 2, "", { actor: "retry" })] },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running, failures 0",
  ],
  [
    "a change that came while the apply ran was cancelled: all is there",
    {
      revisions: ["ssh", "ssh redis", "ssh redis http", "ssh redis"],
      open: [op(1, "add_service", 2, "redis")],
      began: { desiredRevision: 2 },
    },
    applied,
    "op-1 succeeded · applied r4, rendered r2, state running",
  ],
  [
    "a decky is torn down",
    { decky: { leaving: true }, revisions: ["ssh", "ssh"], open: [op(1, "teardown_decky", 2)] },
    applied,
    "op-1 succeeded · web gone",
  ],
  [
    "a decky is torn down before a change that waited was ever applied",
    {
      decky: { leaving: true },
      revisions: ["ssh", "ssh redis", "ssh redis"],
      open: [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)],
    },
    applied,
    "op-1 superseded · op-2 succeeded · web gone",
  ],
  [
    "a decky is torn down whose waiting change removed a service",
    {
      decky: { leaving: true },
      revisions: ["ssh redis", "ssh", "ssh"],
      open: [op(1, "remove_service", 2, "redis"), op(2, "teardown_decky", 3)],
    },
    applied,
    "op-1 succeeded · op-2 succeeded · web gone",
  ],
  [
    "a removed first deploy is gone, with a change that waited for it",
    {
      decky: { ...firstDeploy.decky, leaving: true },
      revisions: ["ssh", "ssh redis", "ssh redis"],
      open: [op(2, "add_service", 2, "redis"), op(1, "deploy_decky", 3, "", undoing)],
    },
    applied,
    "op-2 superseded · op-1 failed APPLY_FAILED undone · web gone",
  ],
  [
    "a removed first deploy is gone, with a change of the decky that waited for it",
    {
      decky: { ...firstDeploy.decky, leaving: true },
      revisions: ["ssh", "ssh", "ssh"],
      open: [op(2, "change_decky", 2), op(1, "deploy_decky", 3, "", undoing)],
    },
    applied,
    "op-2 superseded · op-1 failed APPLY_FAILED undone · web gone",
  ],
  [
    "a decky is torn down before it was changed, and before that was tried",
    {
      decky: { leaving: true },
      revisions: ["ssh", "ssh", "ssh"],
      open: [op(1, "change_decky", 2), op(2, "teardown_decky", 3)],
    },
    applied,
    "op-1 superseded · op-2 succeeded · web gone",
  ],
  [
    "a removed first deploy is gone",
    {
      decky: { ...firstDeploy.decky, leaving: true },
      revisions: ["ssh", "ssh"],
      open: [op(1, "deploy_decky", 2, "", undoing)],
    },
    applied,
    "op-1 failed APPLY_FAILED undone · web gone",
  ],
  [
    "a decky was moved while the apply ran: applied where it no longer belongs",
    {
      decky: { ...away, host: "edge-2" },
      revisions: ["ssh", "ssh redis", "ssh redis"],
      open: [op(1, "add_service", 2, "redis"), op(2, "move_decky", 3)],
      began: { host: "edge-1", desiredRevision: 2 },
    },
    applied,
    "op-1 succeeded · applied r2 · again",
  ],
  [
    "a decky is wanted again after its host removed it: applied where it no longer belongs",
    {
      revisions: ["ssh", "ssh", "ssh"],
      open: [op(1, "teardown_decky", 2, "", undoing), op(2, "restore_revision", 3)],
      began: { leaving: true, desiredRevision: 2 },
    },
    applied,
    "op-1 failed APPLY_FAILED undone · rendered r0 · again",
  ],
];

const undoRows: Readonly<Record<Undo["kind"], readonly Row[]>> = {
  removed: [
    [
      "a first deploy fails",
      { ...firstDeploy, open: [op(1, "deploy_decky", 1)] },
      failed("ssh"),
      "r2: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r2, leaving true · again",
    ],
    [
      "a first deploy is interrupted",
      { ...firstDeploy, open: [op(1, "deploy_decky", 1, "", cancelled)] },
      interrupted,
      "r2: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r2, leaving true · again",
    ],
    [
      "a decky was moved before its first deploy, which fails",
      {
        ...firstDeploy,
        decky: { ...firstDeploy.decky, host: "edge-1" },
        revisions: ["ssh", "ssh"],
        open: [op(1, "deploy_decky", 1), op(2, "move_decky", 2)],
      },
      failed("ssh"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r3, leaving true · again",
    ],
  ],
  stays: [
    [
      "a teardown is interrupted",
      { decky: { leaving: true }, revisions: ["ssh", "ssh"], open: [op(1, "teardown_decky", 2, "", cancelled)] },
      interrupted,
      "r3: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r3, leaving false · again",
    ],
  ],
  back: [
    [
      "a move fails: the decky goes back to where it ran",
      { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2)] },
      failed("ssh"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3, host edge-1, removals [edge-2] · again",
    ],
    [
      "a move with other services fails: it goes back with its old ones",
      { decky: away, revisions: ["ssh", "ssh redis"], open: [op(1, "move_decky", 2)] },
      failed(),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3, host edge-1, removals [edge-2] · again",
    ],
    [
      "a move is interrupted",
      { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2, "", cancelled)] },
      interrupted,
      "r3: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r3, host edge-1, removals [edge-2] · again",
    ],
    [
      "a move fails while another change waits, which goes along",
      {
        decky: away,
        revisions: ["ssh", "ssh", "ssh redis"],
        open: [op(1, "move_decky", 2), op(2, "add_service", 3, "redis")],
        began: { desiredRevision: 2 },
      },
      failed(),
      "r4: undo of op-1 [ssh redis] · op-1 undoing APPLY_FAILED · op-2 running" +
        " · desired r4, host edge-1, removals [edge-2] · again",
    ],
  ],
  reverted: [
    [
      "an added service fails",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
      failed("redis"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a removed service fails",
      { revisions: ["ssh redis=1", "ssh"], open: [op(1, "remove_service", 2, "redis")] },
      failed("redis"),
      "r3: undo of op-1 [ssh redis=1] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "new settings fail",
      { revisions: ["redis=1 ssh", "redis=2 ssh"], open: [op(1, "update_service_config", 2, "redis")] },
      failed("redis"),
      "r3: undo of op-1 [redis=1 ssh] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a service change is interrupted",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", cancelled)] },
      interrupted,
      "r3: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r3 · again",
    ],
    [
      "one of several waiting changes is interrupted: the others go on",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis", cancelled), op(2, "add_service", 3, "http")],
      },
      interrupted,
      "r4: undo of op-1 [ssh http] · op-1 undoing OPERATION_CANCELLED · desired r4 · again",
    ],
    [
      "one of several waiting changes fails: the others go on",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
      },
      failed("redis"),
      "r4: undo of op-1 [ssh http] · op-1 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a step fails that belongs to no service: all that differs goes back",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
      },
      failed(),
      "r4: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a change of the fleet fails at one service: that one alone goes back",
      { revisions: ["ssh=1 redis=1", "ssh=2 redis=2"], open: [op(1, "change_decky", 2)] },
      failed("redis"),
      "r3: undo of op-1 [ssh=2 redis=1] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a service that nobody asked for fails: what was asked for is taken back",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
      failed("ssh"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a change fails while a later one of another service waits",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
        began: { desiredRevision: 2 },
      },
      failed("redis"),
      "r4: undo of op-1 [ssh http] · op-1 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a change fails while a teardown waits, which goes on",
      {
        decky: { leaving: true },
        revisions: ["ssh", "ssh redis", "ssh redis"],
        open: [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)],
        began: { desiredRevision: 2, leaving: false },
      },
      failed("redis"),
      "r4: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a change is interrupted while a teardown waits, which goes on",
      {
        decky: { leaving: true },
        revisions: ["ssh", "ssh redis", "ssh redis"],
        open: [op(1, "add_service", 2, "redis", cancelled), op(2, "teardown_decky", 3)],
        began: { desiredRevision: 2, leaving: false },
      },
      interrupted,
      "r4: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r4 · again",
    ],
    [
      "a first deploy fails while a teardown waits, which goes on",
      {
        decky: { ...firstDeploy.decky, leaving: true },
        revisions: ["ssh", "ssh"],
        open: [op(1, "deploy_decky", 1), op(2, "teardown_decky", 2)],
        began: { desiredRevision: 1, leaving: false },
      },
      failed("ssh"),
      "r3: undo of op-1 [] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a change and the teardown after it fail together: neither of them counts",
      {
        decky: { leaving: true },
        revisions: ["ssh", "ssh redis", "ssh redis"],
        open: [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)],
      },
      failed(),
      "r4: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r4, leaving false · again",
    ],
    [
      "a change fails in the middle of the undo of another: both end with the new revision",
      {
        revisions: ["ssh", "ssh redis", "ssh", "ssh http"],
        open: [op(1, "add_service", 3, "redis", undoing), op(2, "add_service", 4, "http")],
      },
      failed("http"),
      "r5: undo of op-2 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r5 · again",
    ],
    [
      "the plan is no longer the one that was agreed to",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
      refused,
      "r3: undo of op-1 [ssh] · op-1 undoing PLAN_CHANGED · desired r3 · again",
    ],
  ],
  kept: [
    [
      "a service change fails and is kept",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", keep)] },
      failed("redis"),
      `op-1 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "a first deploy fails and is kept",
      { ...firstDeploy, open: [op(1, "deploy_decky", 1, "", keep)] },
      failed("ssh"),
      `op-1 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "a move fails and is kept",
      { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2, "", keep)] },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "on edge-2: no", repair paused true, failures 1 · again',
    ],
    [
      "one of several that failed together keeps: all of them are kept",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http", keep)],
      },
      failed(),
      `op-1 failed APPLY_FAILED · op-2 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "another one keeps: the failed one is kept alone",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis", keep), op(2, "add_service", 3, "http")],
      },
      failed("redis"),
      `op-1 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "a change that keeps failures is interrupted",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", { ...keep, ...cancelled })] },
      interrupted,
      'op-1 cancelled OPERATION_CANCELLED · state unknown, message "cancelled", repair paused true, failures 1 · again',
    ],
  ],
  undo_failed: [
    [
      "the undo of a service change fails",
      { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", undoing)] },
      failed("redis"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "the undo of a cancelled change fails",
      { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", { ...undoing, ...cancelled })] },
      failed("redis"),
      'op-1 cancelled APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "the removal of a failed first deploy fails",
      {
        decky: { ...firstDeploy.decky, leaving: true },
        revisions: ["ssh", "ssh"],
        open: [op(1, "deploy_decky", 2, "", undoing)],
      },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "the way back of a move fails",
      {
        decky: { host: "edge-1", lastHost: "edge-1", pendingRemovals: ["edge-2"], renderedRevision: 0 },
        revisions: ["ssh", "ssh", "ssh"],
        open: [op(1, "move_decky", 3, "", undoing)],
      },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "on edge-1: no", failures 1 · again',
    ],
  ],
  nothing: [
    [
      "a teardown fails: the decky stays on its way out",
      { decky: { leaving: true }, revisions: ["ssh", "ssh"], open: [op(1, "teardown_decky", 2)] },
      failed("ssh"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a repair fails: what is wanted is what ran",
      { revisions: ["ssh"], open: [op(1, "repair", 1)] },
      failed("ssh"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a change is interrupted that has nothing to revert",
      { revisions: ["ssh", "ssh"], open: [op(1, "restore_revision", 2, "", cancelled)] },
      interrupted,
      'op-1 cancelled OPERATION_CANCELLED · state unknown, message "cancelled", failures 1 · again',
    ],
    [
      "a failed service was changed again meanwhile: the later change goes on",
      {
        revisions: ["redis=1", "redis=2", "redis=3"],
        open: [op(1, "update_service_config", 2, "redis"), op(2, "update_service_config", 3, "redis")],
        began: { desiredRevision: 2 },
      },
      failed("redis"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a move fails whose decky was moved again meanwhile",
      {
        decky: { ...away, host: "edge-3", pendingRemovals: ["edge-1", "edge-2"] },
        revisions: ["ssh", "ssh", "ssh"],
        open: [op(1, "move_decky", 2), op(2, "move_decky", 3)],
        began: { host: "edge-2", desiredRevision: 2 },
      },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "on edge-2: no", failures 1 · again',
    ],
    [
      "a repair of what is wanted and was never seen fails: it is wanted still",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "repair", 2)] },
      failed("redis"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a teardown is tried again and fails again",
      { decky: { leaving: true, failures: 1 }, revisions: ["ssh redis", "ssh"], open: [op(1, "repair", 2)] },
      failed("ssh"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 2 · again',
    ],
  ],
};

it.each(appliedRows)("applied: %s", (_name, given, end, text) => {
  expect(tell(situationOf(given), resolve(given, end))).toBe(text);
});

for (const [kind, rows] of Object.entries(undoRows))
  it.each(rows)(`${kind}: %s`, (_name, given, end, text) => {
    const resolution = resolve(given, end);
    expect(tell(situationOf(given), resolution)).toBe(text);
    expect(resolution.why).toBe(kind);
  });

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
  const given = { decky: { failures }, revisions: ["ssh"], open: [op(1, "repair", 1)] };
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
