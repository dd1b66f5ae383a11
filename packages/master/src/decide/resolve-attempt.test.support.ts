import type { HostOutcome } from "@decnet/engine/wire/outcome";
import type { Decky, StoredService } from "../model/decky.ts";
import { makeOperation, type NewOperation, type Operation } from "../model/operation.ts";
import { formatResolution } from "./format-resolution.ts";
import type { Resolution } from "./resolution.ts";
import { type AttemptEnd, resolveAttempt } from "./resolve-attempt.ts";
import type { Situation } from "./situation.ts";
import type { Attempt } from "./undo.ts";

export const now = new Date("2026-01-01T00:00:00Z");
export const context = { catalog: { services: new Map(), digest: "" }, now, makeId: () => "op-new", random: () => 0 };

/** Applied and desired at revision 1, on the master's own host. */
export const web: Decky = {
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

export function situationOf({ decky, revisions, open = [] }: Given): Situation {
  return {
    decky: { ...web, desiredRevision: revisions.length, ...decky },
    open,
    revisions: new Map(revisions.map((text, index) => [index + 1, services(text)])),
    attempts: new Map(),
    movePolicy: "remove_first",
  };
}

export function attemptOf(given: Given): Attempt {
  const situation = situationOf(given);
  const decky = { ...situation.decky, ...given.began };
  const revision = decky.desiredRevision;
  const open = situation.open.filter((operation) => operation.revision <= revision);
  return { decky, revision, services: situation.revisions.get(revision) ?? [], open };
}

export const op = (number: number, kind: Operation["kind"], revision: number, service = "", more: Partial<NewOperation> = {}) =>
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
export const cancelled = { cancelRequested: true } as const;
export const keep = { onFailure: "keep" } as const;
export const error = { reason: "APPLY_FAILED", message: "first", next: [], outputTail: [], undone: false } as const;
export const undoing = { error } as const;

export function outcome(failure: HostOutcome["failure"], state: "running" | "degraded" = "running", message = ""): AttemptEnd {
  const plan = { steps: [], untouched: [], risks: [], digest: "" };
  const judged = { state, message, baseId: "b", services: [] };
  return { kind: "done", outcome: { plan, receipt: { containers: [], othersUnchanged: true }, judged, failure } };
}
export const applied = outcome(undefined);
/** A step failed that was about a service; without one, about the base. */
export const failed = (slug = "") =>
  outcome({
    step: { number: 1, verb: "create", target: `web-${slug}`, cause: "", service: slug },
    message: "no",
    outputTail: [],
  });
export const interrupted: AttemptEnd = { kind: "interrupted" };
export const refused: AttemptEnd = { kind: "refused", error: { ...error, reason: "PLAN_CHANGED" } };

/** As formatResolution says it, with the settings of the services. */
export function tell(situation: Situation, resolution: Resolution): string {
  const { revision } = resolution;
  if (revision === undefined) return formatResolution(situation, resolution);
  const named = revision.services.map(({ slug, config }) => ({
    slug: "version" in config ? `${slug}=${config["version"]}` : slug,
    config,
  }));
  return formatResolution(situation, { ...resolution, revision: { ...revision, services: named } });
}

export const resolve = (given: Given, end: AttemptEnd) => resolveAttempt(situationOf(given), attemptOf(given), end, context);

export type Row = readonly [name: string, given: Given, end: AttemptEnd, text: string];

export const firstDeploy = { decky: { appliedRevision: 0, renderedRevision: 0, lastHost: null }, revisions: ["ssh"] };
export const away = { host: "edge-2", lastHost: "edge-1", pendingRemovals: ["edge-1"], renderedRevision: 0 };
export const kept = 'state degraded, message "no", repair paused true, failures 1 · again';
