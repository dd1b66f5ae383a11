import type { LanSpec } from "@decnet/engine/spec";
import { EntitySchema, type EntitySchemaColumnOptions } from "typeorm";
import type { DeckyState, Identity, ObservedRecord, SealedService } from "../model/decky.ts";
import type { OperationError, OperationKind, OperationState, PlanRecord, ReceiptRecord } from "../model/operation.ts";

const text: EntitySchemaColumnOptions = { type: "text" };
const maybeText: EntitySchemaColumnOptions = { type: "text", nullable: true };
const texts: EntitySchemaColumnOptions = { type: "text", array: true };
const int: EntitySchemaColumnOptions = { type: "int" };
const flag: EntitySchemaColumnOptions = { type: "boolean" };
const json: EntitySchemaColumnOptions = { type: "jsonb" };
const maybeJson: EntitySchemaColumnOptions = { type: "jsonb", nullable: true };
const time: EntitySchemaColumnOptions = { type: "timestamptz" };
const maybeTime: EntitySchemaColumnOptions = { type: "timestamptz", nullable: true };

export interface InstallationRow {
  id: string;
  createdAt: Date;
}
export const Installations = new EntitySchema<InstallationRow>({
  name: "Installation",
  tableName: "installation",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "installation_pkey" },
    createdAt: { ...time, name: "created_at" },
  },
});

export interface FleetRow {
  id: number;
  lan: LanSpec;
  driftPolicy: "repair" | "report";
  movePolicy: "remove_first" | "keep_old";
  updatedAt: Date;
}
export const Fleets = new EntitySchema<FleetRow>({
  name: "Fleet",
  tableName: "fleet",
  columns: {
    id: { type: "smallint", primary: true, primaryKeyConstraintName: "fleet_pkey" },
    lan: json,
    driftPolicy: { ...text, name: "drift_policy" },
    movePolicy: { ...text, name: "move_policy" },
    updatedAt: { ...time, name: "updated_at" },
  },
});

export interface DeckyRow {
  id: string;
  scope: string;
  name: string;
  host: string;
  lan: LanSpec;
  lanName: string;
  ip: string;
  mac: string;
  identity: Identity;
  desiredRevision: number;
  /** Newest revision seen running; also the one that an undo goes back to. 0: none yet. */
  appliedRevision: number;
  /** Newest revision that its host made real; staged settings raise `appliedRevision` alone. */
  renderedRevision: number;
  leaving: boolean;
  /** A failed change is kept for looking at: drift is not repaired. */
  hold: boolean;
  /** After moves: where it has to be removed still, the newest last. */
  leavingHosts: readonly string[];
  /** Where it was last seen running; null: nowhere yet. */
  lastHost: string | null;
  state: DeckyState;
  message: string;
  observed: ObservedRecord | null;
  /** When `observed` was stored; a later look at the host found the same. */
  observedAt: Date | null;
  lastOperation: string | null;
  failures: number;
  retryAt: Date | null;
  createdAt: Date;
}
export const Deckies = new EntitySchema<DeckyRow>({
  name: "Decky",
  tableName: "deckies",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "deckies_pkey" },
    scope: text,
    name: text,
    host: text,
    lan: json,
    lanName: { ...text, name: "lan_name" },
    ip: text,
    mac: text,
    identity: json,
    desiredRevision: { ...int, name: "desired_revision" },
    appliedRevision: { ...int, name: "applied_revision" },
    renderedRevision: { ...int, name: "rendered_revision" },
    leaving: flag,
    hold: flag,
    leavingHosts: { ...texts, name: "leaving_hosts" },
    lastHost: { ...maybeText, name: "last_host" },
    state: text,
    message: text,
    observed: maybeJson,
    observedAt: { ...maybeTime, name: "observed_at" },
    lastOperation: { ...maybeText, name: "last_operation" },
    failures: int,
    retryAt: { ...maybeTime, name: "retry_at" },
    createdAt: { ...time, name: "created_at" },
  },
});

export interface LookRow {
  host: string;
  lookedAt: Date;
}
/** When each host was looked at last: what is stored of its deckies that are not being changed was true then. */
export const Looks = new EntitySchema<LookRow>({
  name: "Look",
  tableName: "looks",
  columns: {
    host: { ...text, primary: true, primaryKeyConstraintName: "looks_pkey" },
    lookedAt: { ...time, name: "looked_at" },
  },
});

export interface RevisionRow {
  deckyId: string;
  number: number;
  services: SealedService[];
  actor: string;
  reason: string;
  operationId: string;
  createdAt: Date;
}
export const Revisions = new EntitySchema<RevisionRow>({
  name: "Revision",
  tableName: "decky_revisions",
  columns: {
    deckyId: { type: "uuid", primary: true, name: "decky_id", primaryKeyConstraintName: "decky_revisions_pkey" },
    number: { ...int, primary: true, primaryKeyConstraintName: "decky_revisions_pkey" },
    services: json,
    actor: text,
    reason: text,
    operationId: { ...text, name: "operation_id" },
    createdAt: { ...time, name: "created_at" },
  },
});

export interface OperationRow {
  id: string;
  kind: OperationKind;
  state: OperationState;
  deckyId: string | null;
  scope: string;
  deckyName: string;
  host: string;
  service: string;
  revision: number;
  actor: string;
  reason: string;
  requestId: string | null;
  requestHash: string;
  onFailure: "undo" | "keep";
  expectedPlan: string;
  parent: string | null;
  plan: PlanRecord | null;
  receipt: ReceiptRecord | null;
  /** Set as soon as the change failed; the operation ends when the undo ended. */
  error: OperationError | null;
  cancelRequested: boolean;
  /** What to do when the decky's host does not answer. */
  whenAway: "queue" | "refuse";
  createdAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
}
export const Operations = new EntitySchema<OperationRow>({
  name: "Operation",
  tableName: "operations",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "operations_pkey" },
    kind: text,
    state: text,
    deckyId: { type: "uuid", name: "decky_id", nullable: true },
    scope: text,
    deckyName: { ...text, name: "decky_name" },
    host: text,
    service: text,
    revision: int,
    actor: text,
    reason: text,
    requestId: { ...maybeText, name: "request_id" },
    requestHash: { ...text, name: "request_hash" },
    onFailure: { ...text, name: "on_failure" },
    expectedPlan: { ...text, name: "expected_plan" },
    parent: maybeText,
    plan: maybeJson,
    receipt: maybeJson,
    error: maybeJson,
    cancelRequested: { ...flag, name: "cancel_requested" },
    whenAway: { ...text, name: "when_away" },
    createdAt: { ...time, name: "created_at" },
    startedAt: { ...maybeTime, name: "started_at" },
    finishedAt: { ...maybeTime, name: "finished_at" },
  },
});

export interface StepRow {
  operationId: string;
  attempt: number;
  number: number;
  verb: string;
  target: string;
  cause: string;
  service: string;
  state: "running" | "succeeded" | "failed";
  outputTail: readonly string[];
  startedAt: Date;
  finishedAt: Date | null;
}
export const Steps = new EntitySchema<StepRow>({
  name: "Step",
  tableName: "operation_steps",
  columns: {
    operationId: { ...text, primary: true, name: "operation_id", primaryKeyConstraintName: "operation_steps_pkey" },
    attempt: { ...int, primary: true, primaryKeyConstraintName: "operation_steps_pkey" },
    number: { ...int, primary: true, primaryKeyConstraintName: "operation_steps_pkey" },
    verb: text,
    target: text,
    cause: text,
    service: text,
    state: text,
    outputTail: { ...json, name: "output_tail" },
    startedAt: { ...time, name: "started_at" },
    finishedAt: { ...maybeTime, name: "finished_at" },
  },
});

export interface OutboxRow {
  position: string;
  eventId: string;
  topic: string;
  key: string;
  payload: Record<string, unknown>;
  occurredAt: Date;
}
export const Outbox = new EntitySchema<OutboxRow>({
  name: "Outbox",
  tableName: "outbox",
  columns: {
    position: { type: "bigint", primary: true, generated: "increment", primaryKeyConstraintName: "outbox_pkey" },
    eventId: { type: "uuid", name: "event_id" },
    topic: text,
    key: text,
    payload: json,
    occurredAt: { ...time, name: "occurred_at" },
  },
});

export interface TokenRow {
  id: string;
  name: string;
  role: "viewer" | "operator" | "admin";
  secretHash: string;
  createdAt: Date;
  createdBy: string;
  expiresAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
}
export const Tokens = new EntitySchema<TokenRow>({
  name: "Token",
  tableName: "tokens",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "tokens_pkey" },
    name: text,
    role: text,
    secretHash: { ...text, name: "secret_hash" },
    createdAt: { ...time, name: "created_at" },
    createdBy: { ...text, name: "created_by" },
    expiresAt: { ...maybeTime, name: "expires_at" },
    revokedAt: { ...maybeTime, name: "revoked_at" },
    lastUsedAt: { ...maybeTime, name: "last_used_at" },
  },
});

export interface AuditRow {
  id: string;
  at: Date;
  actor: string;
  action: string;
  target: string;
  outcome: string;
  operationId: string;
  reason: string;
  peer: string;
}
export const Audit = new EntitySchema<AuditRow>({
  name: "Audit",
  tableName: "audit",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "audit_pkey" },
    at: time,
    actor: text,
    action: text,
    target: text,
    outcome: text,
    operationId: { ...text, name: "operation_id" },
    reason: text,
    peer: text,
  },
});

export interface HostRow {
  id: string;
  name: string;
  labels: Record<string, string>;
  draining: boolean;
  /** Its deckies are on their way out; with the last of them its certificate ends. */
  decommissioning: boolean;
  /** AgentFacts as proto-JSON. */
  facts: Record<string, unknown> | null;
  address: string;
  message: string;
  engineProblem: string;
  /** Certificates that are accepted: the newest, and the one that it renewed. */
  certificateSerials: readonly string[];
  certificateExpiresAt: Date;
  reportStream: string;
  reportSequence: string;
  enrolledAt: Date;
  lastSeen: Date | null;
  decommissionedAt: Date | null;
}
export const Hosts = new EntitySchema<HostRow>({
  name: "Host",
  tableName: "hosts",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "hosts_pkey" },
    name: text,
    labels: json,
    draining: flag,
    decommissioning: flag,
    facts: maybeJson,
    address: text,
    message: text,
    engineProblem: { ...text, name: "engine_problem" },
    certificateSerials: { ...json, name: "certificate_serials" },
    certificateExpiresAt: { ...time, name: "certificate_expires_at" },
    reportStream: { ...text, name: "report_stream" },
    reportSequence: { type: "bigint", name: "report_sequence" },
    enrolledAt: { ...time, name: "enrolled_at" },
    lastSeen: { ...maybeTime, name: "last_seen" },
    decommissionedAt: { ...maybeTime, name: "decommissioned_at" },
  },
});

export interface JoinTokenRow {
  id: string;
  hostName: string;
  secretHash: string;
  labels: Record<string, string>;
  createdAt: Date;
  createdBy: string;
  expiresAt: Date;
  usedAt: Date | null;
  /** Hash of the key that it was used for: the same worker may ask again when an answer was lost. */
  usedKey: string | null;
  revokedAt: Date | null;
  hostId: string | null;
}
export const JoinTokens = new EntitySchema<JoinTokenRow>({
  name: "JoinToken",
  tableName: "join_tokens",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "join_tokens_pkey" },
    hostName: { ...text, name: "host_name" },
    secretHash: { ...text, name: "secret_hash" },
    labels: json,
    createdAt: { ...time, name: "created_at" },
    createdBy: { ...text, name: "created_by" },
    expiresAt: { ...time, name: "expires_at" },
    usedAt: { ...maybeTime, name: "used_at" },
    usedKey: { ...maybeText, name: "used_key" },
    revokedAt: { ...maybeTime, name: "revoked_at" },
    hostId: { type: "uuid", name: "host_id", nullable: true },
  },
});

export interface RefusedJoinRow {
  id: string;
  at: Date;
  tokenId: string;
  hostName: string;
  machineName: string;
  address: string;
  reason: string;
  message: string;
}
export const RefusedJoins = new EntitySchema<RefusedJoinRow>({
  name: "RefusedJoin",
  tableName: "refused_joins",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "refused_joins_pkey" },
    at: time,
    tokenId: { ...text, name: "token_id" },
    hostName: { ...text, name: "host_name" },
    machineName: { ...text, name: "machine_name" },
    address: text,
    reason: text,
    message: text,
  },
});

export const entities = [
  Installations,
  Fleets,
  Deckies,
  Looks,
  Revisions,
  Operations,
  Steps,
  Outbox,
  Tokens,
  Audit,
  Hosts,
  JoinTokens,
  RefusedJoins,
];
