import { randomBytes } from "node:crypto";
import type { AppError } from "@decnet/common/errors/app-error";
import type { Receipt } from "@decnet/engine/execute/receipt";
import type { PlanView, Risk } from "@decnet/engine/plan/plan";

export type OperationKind =
  | "add_service"
  | "remove_service"
  | "update_service_config"
  | "restore_revision"
  | "deploy_decky"
  | "change_decky"
  | "teardown_decky"
  | "apply_fleet"
  | "teardown_fleet"
  | "repair"
  | "move_decky"
  | "drain_host"
  | "decommission_host"
  | "batch"
  | "deploy_topology"
  | "edit_topology"
  | "resync_topology"
  | "teardown_topology"
  | "create_topology"
  | "delete_topology"
  | "rotate_services"
  | "remove_orphans";

/** pending: stored, nothing done. running: being applied. The others are ends and never change again. */
export type OperationState = "pending" | "running" | "succeeded" | "failed" | "cancelled" | "superseded";

export interface FieldChange {
  readonly key: string;
  readonly action: "added" | "removed" | "changed" | "staged";
  /** JSON texts; empty for secrets. */
  readonly before: string;
  readonly after: string;
  readonly secret: boolean;
}

export interface ServiceChange {
  readonly service: string;
  readonly action: "added" | "removed" | "changed" | "staged";
  readonly fields: readonly FieldChange[];
}

/** What the parts of a batch do not tell themselves. */
export interface BatchRecord {
  readonly total: number;
  /** Changes that were refused: they have no operation. */
  readonly refused: number;
  readonly skipped: number;
  /** Nothing more is begun. */
  readonly isClosed: boolean;
  /** The master that begins its parts. */
  readonly master?: string;
}

/** The part of one decky in a plan for many. */
export interface PlanPart {
  /** Not of the fleet, when it is given. */
  readonly scope?: string;
  readonly name: string;
  readonly host: string;
  readonly action: string;
  readonly plan: PlanRecord;
}

/** A plan as it is stored and shown: no secret, no build context. */
export interface PlanRecord {
  readonly steps: readonly { number: number; verb: string; target: string; cause: string; service: string }[];
  readonly untouched: readonly string[];
  readonly risks: readonly Risk[];
  readonly baseRevision: number;
  readonly digest: string;
  readonly text: string;
  readonly changes: readonly ServiceChange[];
  readonly deckies?: readonly PlanPart[];
  readonly batch?: BatchRecord;
  /** What the caller should know although it refuses nothing. */
  readonly warnings?: readonly string[];
  /** Of a plan that was only shown: the containers as they were found. */
  readonly observed?: readonly string[];
}

export interface OperationError {
  readonly reason:
    | "APPLY_FAILED"
    | "PLAN_CHANGED"
    | "IMAGE_UNAVAILABLE"
    | "HOST_UNREACHABLE"
    | "NOT_OBSERVED"
    | "OPERATION_CANCELLED";
  readonly message: string;
  readonly next: readonly string[];
  readonly outputTail: readonly string[];
  readonly undone: boolean;
}

const errorReasons: readonly OperationError["reason"][] = [
  "APPLY_FAILED",
  "PLAN_CHANGED",
  "IMAGE_UNAVAILABLE",
  "HOST_UNREACHABLE",
  "NOT_OBSERVED",
  "OPERATION_CANCELLED",
];

/** Why an operation ended that its host refused; a reason that operations do not have is told by the message. */
export function refusalError({ reason, message, next }: Pick<AppError, "reason" | "message" | "next">): OperationError {
  const known = errorReasons.find((each) => each === reason);
  const told = known === undefined ? `${message} (${reason})` : message;
  return { reason: known ?? "APPLY_FAILED", message: told, next, outputTail: [], undone: false };
}

/** Who cancelled an operation, and by which request. */
export interface Canceller {
  readonly actor: string;
  readonly reason: string;
  readonly requestId: string;
}

/** The durable record of one requested change. */
export interface Operation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly state: OperationState;
  /** Null for a change of many deckies: its parts have one each. */
  readonly deckyId: string | null;
  readonly scope: string;
  readonly deckyName: string;
  readonly host: string;
  readonly service: string;
  readonly revision: number;
  readonly actor: string;
  readonly reason: string;
  readonly requestId: string | null;
  readonly requestHash: string;
  readonly onFailure: "undo" | "keep";
  readonly expectedPlan: string;
  readonly parent: string | null;
  readonly plan: PlanRecord | null;
  readonly receipt: Receipt | null;
  /** Set as soon as the change failed; the operation ends when its undo has ended. */
  readonly error: OperationError | null;
  readonly cancelRequested: boolean;
  /** Null unless a cancel was asked for. */
  readonly cancelledBy: Canceller | null;
  /** What to do when the decky's host is away. */
  readonly whenAway: "queue" | "refuse";
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

export type OperationPatch = Partial<
  Pick<
    Operation,
    "state" | "host" | "revision" | "plan" | "receipt" | "error" | "cancelRequested" | "cancelledBy" | "startedAt" | "finishedAt"
  >
>;

export type NewOperation = Pick<Operation, "id" | "kind" | "actor" | "createdAt"> & Partial<Operation>;

/** One step of one attempt at an operation. */
export interface OperationStep {
  readonly operationId: string;
  readonly attempt: number;
  readonly number: number;
  readonly verb: string;
  readonly target: string;
  readonly cause: string;
  readonly service: string;
  readonly state: "running" | "succeeded" | "failed";
  readonly outputTail: readonly string[];
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
}

/** An operation with all that is shown of it. */
export interface OperationRecord {
  readonly row: Operation;
  readonly steps: readonly OperationStep[];
  /** Ids of its parts. */
  readonly children: readonly string[];
}

export const openStates = ["pending", "running"] as const satisfies readonly OperationState[];

export function hasEnded({ state }: Pick<Operation, "state">): boolean {
  return state !== "pending" && state !== "running";
}

/** A new name for an operation: what decides is given a maker of them, and makes none up itself. */
export function makeOperationId(): string {
  return `op-${randomBytes(5).toString("hex")}`;
}

export function makeOperation(operation: NewOperation): Operation {
  return {
    state: "pending",
    deckyId: null,
    scope: "fleet",
    deckyName: "",
    host: "local",
    service: "",
    revision: 0,
    reason: "",
    requestId: null,
    requestHash: "",
    onFailure: "undo",
    expectedPlan: "",
    parent: null,
    plan: null,
    receipt: null,
    error: null,
    cancelRequested: false,
    cancelledBy: null,
    whenAway: "queue",
    startedAt: null,
    finishedAt: null,
    ...operation,
  };
}

/** A plan without steps: of a change that was stored and not planned yet, or that has nothing to do. */
export function emptyPlan(more: Partial<PlanRecord> = {}): PlanRecord {
  return { steps: [], untouched: [], risks: [], baseRevision: 0, digest: "", text: "", changes: [], ...more };
}

/** The plan with these warnings; no part of its digest. */
export function withWarnings(plan: PlanRecord, warnings: readonly string[] | undefined): PlanRecord {
  return warnings === undefined || warnings.length === 0 ? plan : { ...plan, warnings };
}

/** The plan of a host that could not be asked. */
export const unknownPlan: PlanView = { steps: [], untouched: [], risks: [], digest: "" };

export function toPlanRecord(plan: PlanView, text: string, baseRevision: number, changes: readonly ServiceChange[]): PlanRecord {
  return {
    steps: plan.steps.map((step) => ({
      number: step.number,
      verb: step.verb,
      target: step.target,
      cause: step.cause,
      service: step.service,
    })),
    untouched: plan.untouched,
    risks: plan.risks,
    baseRevision,
    digest: plan.digest,
    text,
    changes,
  };
}
