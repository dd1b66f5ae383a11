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
  | "batch";

/** pending: stored, nothing done. running: at work. The others are ends and never change again. */
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

/** What a batch's parts do not tell themselves. */
export interface BatchRecord {
  readonly total: number;
  /** Changes that were refused: there is no operation of them. */
  readonly refused: number;
  readonly skipped: number;
  /** Nothing more is begun. */
  readonly isClosed: boolean;
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
  readonly deckies?: readonly { name: string; host: string; action: string; plan: PlanRecord }[];
  readonly batch?: BatchRecord;
}

export type ReceiptRecord = Receipt;

export interface OperationError {
  readonly reason: "APPLY_FAILED" | "PLAN_CHANGED" | "IMAGE_UNAVAILABLE" | "HOST_UNREACHABLE";
  readonly message: string;
  readonly next: readonly string[];
  readonly outputTail: readonly string[];
  readonly undone: boolean;
}

export function toPlanRecord(plan: PlanView, text: string, baseRevision: number, changes: readonly ServiceChange[]): PlanRecord {
  return {
    steps: plan.steps.map((step) => ({
      number: step.number,
      verb: step.kind,
      target: step.target,
      cause: step.cause,
      service: step.slug,
    })),
    untouched: plan.untouched,
    risks: plan.risks,
    baseRevision,
    digest: plan.digest,
    text,
    changes,
  };
}
