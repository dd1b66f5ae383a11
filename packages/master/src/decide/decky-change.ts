import type { AttachmentSpecs } from "@decnet/engine/spec";
import type { Decky, DeckyPatch, Identity, MovePolicy, NewRevision, StoredService } from "../model/decky.ts";
import { type BusEvent, stateEvent } from "../model/events.ts";
import { emptyPlan, makeOperation, type Operation, type OperationKind } from "../model/operation.ts";
import { diffServices } from "../model/services.ts";
import type { DecisionContext } from "./context.ts";
import { moveTo } from "./move.ts";
import { type OperationChange, type Resolution, resolution } from "./resolution.ts";
import { refuseBehind } from "./resolve-behind.ts";

export type Action = "deploy" | "change" | "redeploy" | "move" | "teardown" | "keep";

/** What becomes of one decky in a change of many. */
export interface DeckyChange {
  readonly action: Action;
  /** As it is; a decky that is to be deployed, as it is to be. */
  readonly decky: Decky;
  /** Where it is to live, and as what. */
  readonly host: string;
  readonly identity: Identity;
  readonly attachments: AttachmentSpecs;
  readonly before: readonly StoredService[];
  readonly services: readonly StoredService[];
}

const kindOf = {
  deploy: "deploy_decky",
  change: "change_decky",
  redeploy: "change_decky",
  move: "move_decky",
  teardown: "teardown_decky",
} as const satisfies Record<Exclude<Action, "keep">, OperationKind>;

/** The part of one decky in an operation about many: a new decky, or what becomes of one that is there. */
export type DeckyPart =
  | { readonly kind: "new"; readonly decky: Decky; readonly revision: NewRevision; readonly operation: Operation }
  | {
      readonly kind: "changed";
      readonly decky: Decky;
      readonly resolution: Resolution;
      readonly operation: Operation;
      readonly events: readonly BusEvent[];
    };

/** Hosts without which the change would have to wait: where the decky is to be, and, when it leaves them first, where it was. */
export function hostsNeededBy({ action, host, decky }: DeckyChange, movePolicy: MovePolicy): string[] {
  if (action === "keep") return [];
  const left = [...decky.pendingRemovals, ...(host === decky.host ? [] : [decky.host])];
  return [host, ...(movePolicy === "remove_first" ? left.filter((other) => other !== host) : [])];
}

/** The decky as its host is to be told of it. */
export function wantedDecky({ decky, host, identity, attachments }: DeckyChange): Decky {
  return { ...decky, host, identity, attachments };
}

/**
 * Pure. `open` are the decky's own operations that have not ended; `expectedPlan` is the digest of the plan that was agreed to.
 */
export function decideDeckyPart(
  parent: Operation,
  change: DeckyChange & { readonly action: Exclude<Action, "keep"> },
  open: readonly Operation[],
  expectedPlan: string,
  { catalog, makeId }: Pick<DecisionContext, "catalog" | "makeId">,
): DeckyPart {
  const { action, decky, before, services } = change;
  if (action !== "teardown" && action !== "deploy") refuseBehind(decky);
  const number = action === "deploy" ? 1 : decky.desiredRevision + 1;
  const operation = makeOperation({
    id: makeId(),
    kind: kindOf[action],
    actor: parent.actor,
    reason: parent.reason,
    onFailure: parent.onFailure,
    parent: parent.id,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: change.host,
    revision: number,
    whenAway: parent.whenAway,
    expectedPlan,
    createdAt: parent.createdAt,
    plan: emptyPlan({
      baseRevision: decky.desiredRevision,
      changes: diffServices(before, action === "teardown" ? [] : services, catalog),
    }),
  });
  const { actor, reason } = parent;
  const revision: NewRevision = { deckyId: decky.id, number, services, actor, reason, operationId: operation.id };
  if (action === "deploy") return { kind: "new", decky: { ...decky, lastOperation: operation.id }, revision, operation };
  const patch: DeckyPatch = {
    desiredRevision: number,
    leaving: action === "teardown",
    lastOperation: operation.id,
    state: "changing",
    identity: change.identity,
    attachments: change.attachments,
    ...(action === "move" ? moveWith(decky, change.host, open) : {}),
    repairPaused: false,
    retryAt: null,
    retryCause: "",
    failures: 0,
  };
  // What is still to be done about the decky goes along.
  const operations =
    action === "move" ? open.map((each): OperationChange => ({ operation: each, patch: { host: change.host } })) : [];
  return {
    kind: "changed",
    decky,
    operation,
    events: stateEvent({ ...decky, host: change.host }, "changing", ""),
    resolution: resolution(action, { decky: { kind: "patch", patch }, revision, operations, opens: [operation] }),
  };
}

/** Its present host is left as well, unless nothing was begun there. */
function moveWith(decky: Decky, host: string, open: readonly Operation[]): DeckyPatch {
  return moveTo(decky, host, decky.renderedRevision > 0 || open.some(({ state }) => state === "running"));
}
