import { AppError } from "@decnet/common/errors/app-error";
import type { MutationOptions } from "../decide/resolve-mutation.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { AuditTicket } from "../model/access.ts";
import { emptyPlan, makeOperationId, type Operation, type OperationRecord, type PlanRecord } from "../model/operation.ts";
import { violatedConstraint } from "../store/database-errors.ts";
import type { Store } from "../store/store.ts";
import { createShownPlans, doneSince, planDifference } from "./plan-difference.ts";

/** Who asks for a change, and how it is to be done. */
export interface ChangeRequest {
  readonly actor: string;
  readonly options: MutationOptions;
  /** Keyed hash of the whole request, to tell a repeated call from a different one with the same id. */
  readonly requestHash: string;
  readonly audit?: AuditTicket | undefined;
}

/** What would be done now. Its record is no operation: it has no id. */
export interface PlannedChange {
  readonly digest: string;
  readonly record: OperationRecord;
}

/** One kind of change as the front door sees it. */
export interface Change<Planned extends PlannedChange> {
  /** For messages, such as `web-01` or `the fleet`. */
  readonly what: string;
  /** The one that it is about; undefined when it is about many. */
  readonly decky?: string;
  /** The operation of an earlier call with the same id, when it was looked for already. */
  readonly earlier?: { readonly found: Operation | undefined };
  /** Changes nothing. Throws what refuses the change. */
  plan(): Promise<Planned>;
  /** Hosts without which the change would have to wait. */
  hostsNeeded(): Promise<readonly string[]>;
  /** Stores the change, or nothing of it; `planned` is what the caller agreed to, and is stored only if it is still so. */
  store(planned: Planned | undefined): Promise<OperationRecord>;
}

/**
 * The one way in for changes. All of them are idempotent by request id, refuse another plan than the expected one, change nothing
 * in a dry run, and refuse hosts that are away when the caller does not want to wait.
 */
export interface FrontDoor {
  accept<Planned extends PlannedChange>(request: ChangeRequest, change: Change<Planned>): Promise<OperationRecord>;
  /** The operation of an earlier call with the same id. Throws REQUEST_ID_REUSED. */
  findEarlier(request: ChangeRequest): Promise<Operation | undefined>;
}

export function createFrontDoor(store: Pick<Store, "operations">, hosts: Pick<HostRegistry, "requireReachable">): FrontDoor {
  const findEarlier: FrontDoor["findEarlier"] = async (request) => {
    const { requestId } = request.options;
    if (requestId === "") return undefined;
    return sameRequest(await store.operations.findByRequest(request.actor, requestId), request);
  };

  /** Two calls with one id may race: the second violates the unique index, and finds the first. */
  const storeOnce = async (request: ChangeRequest, work: () => Promise<OperationRecord>): Promise<OperationRecord> => {
    try {
      return await work();
    } catch (error) {
      if (violatedConstraint(error) !== "operations_request") throw error;
      const winner = await findEarlier(request);
      if (winner === undefined) throw error;
      return store.operations.get(winner.id);
    }
  };

  const shown = createShownPlans();

  /** A plan that nobody remembers was shown at no known time. */
  const doneMeanwhile = async (change: Change<PlannedChange>, { at }: AgreedPlan): Promise<string[]> => {
    if (at === undefined) return [];
    const terms = change.decky === undefined ? [] : [{ key: "decky", negated: false, glob: change.decky }];
    const { rows } = await store.operations.list({ terms, page: { size: mostDone } });
    return doneSince({ at }, rows);
  };

  /** What is stored under locks may be another thing than what was planned a moment ago: the refusal says what it is now. */
  const storePlanned = async <Planned extends PlannedChange>(
    change: Change<Planned>,
    planned: Planned | undefined,
  ): Promise<OperationRecord> => {
    try {
      return await change.store(planned);
    } catch (error) {
      const isMoved = error instanceof AppError && error.reason === "PLAN_CHANGED" && error.metadata["actual"] === "";
      if (!isMoved || planned === undefined) throw error;
      const now = await change.plan();
      const agreed = { digest: planned.digest, plan: planned.record.row.plan ?? undefined, at: planned.record.row.createdAt };
      throw planChanged(change.what, agreed, now, await doneMeanwhile(change, agreed));
    }
  };

  return {
    findEarlier,
    async accept(request, change) {
      const { options } = request;
      const earlier = change.earlier === undefined ? await findEarlier(request) : sameRequest(change.earlier.found, request);
      if (earlier !== undefined) return store.operations.get(earlier.id);
      const planned = options.dryRun || options.expectedPlan !== "" ? await change.plan() : undefined;
      if (planned !== undefined && options.expectedPlan !== "" && options.expectedPlan !== planned.digest) {
        const agreed = { digest: options.expectedPlan, ...shown.find(options.expectedPlan) };
        throw planChanged(change.what, agreed, planned, await doneMeanwhile(change, agreed));
      }
      if (options.dryRun && planned !== undefined) {
        shown.remember(planned.record.row.plan);
        return planned.record;
      }
      if (options.whenAway === "refuse")
        for (const host of new Set(await change.hostsNeeded())) await hosts.requireReachable(host);
      return storeOnce(request, () => storePlanned(change, planned));
    },
  };
}

/** Refuses an id that was used for something else. */
export function sameRequest(earlier: Operation | undefined, request: ChangeRequest): Operation | undefined {
  if (earlier === undefined || earlier.requestHash === request.requestHash) return earlier;
  const { requestId } = request.options;
  throw new AppError("REQUEST_ID_REUSED", `the request id ${requestId} was used for another request`, {
    metadata: { operation: earlier.id },
    resource: { type: "operation", name: earlier.id },
  });
}

interface AgreedPlan {
  readonly digest: string;
  /** Both undefined when nobody remembers it. */
  readonly plan?: PlanRecord | undefined;
  readonly at?: Date | undefined;
}

const mostDone = 5;

/** Says what moved between the plan that was agreed to and the one of now. */
function planChanged(what: string, agreed: AgreedPlan, now: PlannedChange, meanwhile: readonly string[]): AppError {
  const moved = [...planDifference(agreed.plan, now.record.row.plan ?? emptyPlan()), ...meanwhile];
  return new AppError("PLAN_CHANGED", `the plan for ${what} has changed: ${moved.join("; ")}`, {
    metadata: { decky: what, expected: agreed.digest, actual: now.digest, difference: moved.join("\n") },
  });
}

/** The change is about something else than the plan that was agreed to; the front door says what that is. */
export function planMoved(what: string, expected: string): AppError {
  return new AppError("PLAN_CHANGED", `the plan for ${what} has changed`, { metadata: { decky: what, expected, actual: "" } });
}

/** What the operation of a request has from the request; a new one each time. */
export function requested({ actor, options, requestHash }: ChangeRequest) {
  return {
    id: makeOperationId(),
    createdAt: new Date(),
    actor,
    reason: options.reason,
    requestId: options.requestId === "" ? null : options.requestId,
    requestHash,
    onFailure: options.onFailure,
    whenAway: options.whenAway,
  } as const;
}

/** A plan as it is returned by a dry run. */
export function dryRunRecord(row: Operation): OperationRecord {
  return { row: { ...row, id: "" }, steps: [], children: [] };
}
