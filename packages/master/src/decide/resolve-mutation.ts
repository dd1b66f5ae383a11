import { AppError } from "@decnet/common/errors/app-error";
import { isStuckLeaving, type StoredService } from "../model/decky.ts";
import { operationEvents, stateEvent } from "../model/events.ts";
import { emptyPlan, makeOperation, type Operation, type OperationKind, withWarnings } from "../model/operation.ts";
import { diffServices, sameServices } from "../model/services.ts";
import type { DecisionContext } from "./context.ts";
import { type Resolution, resolution } from "./resolution.ts";
import { refuseBehind } from "./resolve-behind.ts";
import { desiredServices, type Situation } from "./situation.ts";

/** What every change may be told besides what it changes. */
export interface MutationOptions {
  readonly requestId: string;
  readonly expectedRevision: number | undefined;
  readonly expectedPlan: string;
  readonly dryRun: boolean;
  readonly reason: string;
  readonly onFailure: "undo" | "keep";
  /** What to do when the decky's host is away. */
  readonly whenAway: "queue" | "refuse";
}

/** A change of the services of one decky, or its teardown. */
export interface Mutation {
  readonly kind: OperationKind;
  readonly scope: string;
  readonly decky: string;
  readonly service: string;
  readonly actor: string;
  readonly options: MutationOptions;
  /** Keyed hash of the whole request, to tell a repeated call from a different one with the same id. */
  readonly requestHash: string;
  /** Pure: the services after the change. Throws when the change cannot be. */
  readonly change: (services: readonly StoredService[], at: (revision: number) => readonly StoredService[]) => StoredService[];
  /** A revision that the change looks at. */
  readonly revision?: number;
  /** The decky is to be gone afterwards. */
  readonly leaves?: boolean;
  /** The operation that this one is a part of. */
  readonly parent?: string;
  /** What the caller should know although it refuses nothing. */
  readonly warnings?: readonly string[];
}

export interface ChangedServices {
  readonly before: readonly StoredService[];
  readonly after: readonly StoredService[];
}

/**
 * The services before and after a mutation. Throws what refuses it: DECKY_LEAVING, REVISION_CONFLICT, REVISION_NOT_FOUND, or what
 * the change throws.
 */
export function changeServices(
  situation: Situation,
  mutation: Mutation,
  at: (revision: number) => readonly StoredService[],
): ChangedServices {
  const { decky } = situation;
  if (decky.leaving && !(isStuckLeaving(decky) && endsLeaving(mutation)))
    throw new AppError("DECKY_LEAVING", `${decky.name} is being torn down`, { metadata: { decky: decky.name } });
  if (mutation.leaves !== true) refuseBehind(decky);
  const expected = mutation.options.expectedRevision;
  if (expected !== undefined && expected !== decky.desiredRevision)
    throw new AppError("REVISION_CONFLICT", `${decky.name} is at revision ${decky.desiredRevision}, not ${expected}`, {
      metadata: { decky: decky.name, expected: String(expected), actual: String(decky.desiredRevision) },
    });
  const before = desiredServices(situation);
  return { before, after: mutation.change(before, at) };
}

/** A teardown that failed may be asked for again, or taken back as a whole. */
function endsLeaving({ leaves, kind, service }: Mutation): boolean {
  return leaves === true || (kind === "restore_revision" && service === "");
}

export interface MutationContext extends Pick<DecisionContext, "catalog" | "now" | "makeId"> {
  readonly isReachable: boolean;
  /** An apply begins as soon as this is stored. */
  readonly begins: boolean;
}

/** Stores a mutation as a new revision with its operation. Pure. */
export function resolveMutation(
  situation: Situation,
  mutation: Mutation,
  { before, after }: ChangedServices,
  { catalog, now, makeId, isReachable, begins }: MutationContext,
): { readonly resolution: Resolution; readonly operation: Operation } {
  const { decky, open } = situation;
  const number = decky.desiredRevision + 1;
  const leaving = mutation.leaves === true;
  const isSame = !leaving && sameServices(before, after);
  const isApplied = decky.appliedRevision === decky.desiredRevision && open.length === 0;
  // A save, or a change that asks for what is there already: stored and done, the containers are as wanted. Who restores a
  // revision means the containers too.
  const isDone = isSame && isApplied && decky.state !== "failed" && mutation.kind !== "restore_revision";
  const changes = diffServices(before, leaving ? [] : after, catalog);
  const operation: Operation = {
    ...newOperation(situation, mutation, { now, makeId }),
    revision: number,
    plan: withWarnings(
      emptyPlan({ baseRevision: decky.desiredRevision, text: isDone ? "nothing to do" : "", changes }),
      mutation.warnings,
    ),
    ...(isDone ? { state: "succeeded", startedAt: now, finishedAt: now } : begins ? { state: "running", startedAt: now } : {}),
  };
  // Nothing changes on a host that is away: what is known of the decky, or not, stays as it is.
  const state = isReachable ? "changing" : decky.state;
  return {
    operation,
    resolution: resolution(mutation.kind, {
      decky: {
        kind: "patch",
        patch: {
          desiredRevision: number,
          leaving,
          lastOperation: operation.id,
          repairPaused: false,
          retryAt: null,
          retryCause: "",
          failures: 0,
          ...(isDone ? { appliedRevision: number } : { state }),
        },
      },
      revision: {
        deckyId: decky.id,
        number,
        services: after,
        actor: mutation.actor,
        reason: mutation.options.reason,
        operationId: operation.id,
      },
      opens: [operation],
      events: isDone ? operationEvents(operation, after, catalog) : stateEvent(decky, state, ""),
      again: !isDone,
    }),
  };
}

/** The operation of a mutation as it is before it is stored. */
export function newOperation(
  { decky }: Pick<Situation, "decky">,
  mutation: Mutation,
  { now, makeId }: Pick<DecisionContext, "now" | "makeId">,
): Operation {
  const { options } = mutation;
  return makeOperation({
    id: makeId(),
    kind: mutation.kind,
    actor: mutation.actor,
    reason: options.reason,
    deckyId: decky.id,
    scope: decky.scope,
    deckyName: decky.name,
    host: decky.host,
    service: mutation.service,
    requestId: options.requestId === "" ? null : options.requestId,
    requestHash: mutation.requestHash,
    onFailure: options.onFailure,
    expectedPlan: options.expectedPlan,
    whenAway: options.whenAway,
    parent: mutation.parent ?? null,
    createdAt: now,
  });
}
