import { EntitySchema, type EntitySchemaColumnOptions } from "typeorm";
import type { AuditEntry, Token } from "../model/access.ts";
import type { Decky, FleetSettings } from "../model/decky.ts";
import type { StoredEvent } from "../model/events.ts";
import type { Host, JoinToken, RefusedJoin } from "../model/host.ts";
import type { Operation, OperationStep } from "../model/operation.ts";
import type { Topology, TopologyEvent } from "../model/topology.ts";
import type { SealedDesign, SealedService } from "./sealing.ts";

/** Columns have the names of the properties in snake case: see naming.ts. */

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
    createdAt: time,
  },
});

export const Fleets = new EntitySchema<FleetSettings>({
  name: "Fleet",
  tableName: "fleet",
  columns: {
    id: { type: "smallint", primary: true, primaryKeyConstraintName: "fleet_pkey" },
    lan: json,
    driftPolicy: text,
    movePolicy: text,
    updatedAt: time,
  },
});

export const Deckies = new EntitySchema<Decky>({
  name: "Decky",
  tableName: "deckies",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "deckies_pkey" },
    scope: text,
    name: text,
    host: text,
    attachments: json,
    identity: json,
    desiredRevision: int,
    appliedRevision: int,
    renderedRevision: int,
    leaving: flag,
    repairPaused: flag,
    pendingRemovals: texts,
    lastHost: maybeText,
    state: text,
    message: text,
    observed: maybeJson,
    observedAt: maybeTime,
    lastOperation: maybeText,
    failures: int,
    retryAt: maybeTime,
    retryCause: text,
    appliedIdentity: maybeJson,
    aheadRevision: int,
    createdAt: time,
    version: int,
  },
});

export interface TopologyRow extends Omit<Topology, "design"> {
  design: SealedDesign;
}
export const Topologies = new EntitySchema<TopologyRow>({
  name: "Topology",
  tableName: "topologies",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "topologies_pkey" },
    name: text,
    host: text,
    publishOn: text,
    state: text,
    reason: text,
    stateChangedAt: time,
    version: int,
    design: json,
    generatedFrom: maybeJson,
    createdAt: time,
  },
});

export interface TopologyEventRow extends TopologyEvent {
  readonly number: string;
}
export const TopologyEvents = new EntitySchema<TopologyEventRow>({
  name: "TopologyEvent",
  tableName: "topology_events",
  columns: {
    number: { type: "bigint", primary: true, generated: "increment", primaryKeyConstraintName: "topology_events_pkey" },
    topologyId: text,
    fromState: text,
    toState: text,
    at: time,
    reason: text,
  },
});

export interface DriftCheckRow {
  host: string;
  checkedAt: Date;
}
/** When each host was looked at last: what is stored of its deckies that are not being changed was true then. */
export const DriftChecks = new EntitySchema<DriftCheckRow>({
  name: "DriftCheck",
  tableName: "drift_checks",
  columns: {
    host: { ...text, primary: true, primaryKeyConstraintName: "drift_checks_pkey" },
    checkedAt: time,
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
    deckyId: { type: "uuid", primary: true, primaryKeyConstraintName: "decky_revisions_pkey" },
    number: { ...int, primary: true, primaryKeyConstraintName: "decky_revisions_pkey" },
    services: json,
    actor: text,
    reason: text,
    operationId: text,
    createdAt: time,
  },
});

export const Operations = new EntitySchema<Operation>({
  name: "Operation",
  tableName: "operations",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "operations_pkey" },
    kind: text,
    state: text,
    deckyId: { type: "uuid", nullable: true },
    scope: text,
    deckyName: text,
    host: text,
    service: text,
    revision: int,
    actor: text,
    reason: text,
    requestId: maybeText,
    requestHash: text,
    onFailure: text,
    expectedPlan: text,
    parent: maybeText,
    plan: maybeJson,
    receipt: maybeJson,
    error: maybeJson,
    cancelRequested: flag,
    cancelledBy: maybeJson,
    whenAway: text,
    createdAt: time,
    startedAt: maybeTime,
    finishedAt: maybeTime,
  },
});

export const Steps = new EntitySchema<OperationStep>({
  name: "Step",
  tableName: "operation_steps",
  columns: {
    operationId: { ...text, primary: true, primaryKeyConstraintName: "operation_steps_pkey" },
    attempt: { ...int, primary: true, primaryKeyConstraintName: "operation_steps_pkey" },
    number: { ...int, primary: true, primaryKeyConstraintName: "operation_steps_pkey" },
    verb: text,
    target: text,
    cause: text,
    service: text,
    state: text,
    outputTail: json,
    startedAt: time,
    finishedAt: maybeTime,
  },
});

export const Outbox = new EntitySchema<StoredEvent>({
  name: "Outbox",
  tableName: "outbox",
  columns: {
    position: { type: "bigint", primary: true, generated: "increment", primaryKeyConstraintName: "outbox_pkey" },
    eventId: { type: "uuid" },
    topic: text,
    key: text,
    payload: json,
    version: int,
    occurredAt: time,
  },
});

export const Tokens = new EntitySchema<Token>({
  name: "Token",
  tableName: "tokens",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "tokens_pkey" },
    name: text,
    role: text,
    secretHash: text,
    createdAt: time,
    createdBy: text,
    expiresAt: maybeTime,
    revokedAt: maybeTime,
    lastUsedAt: maybeTime,
  },
});

export const Audit = new EntitySchema<AuditEntry>({
  name: "Audit",
  tableName: "audit",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "audit_pkey" },
    at: time,
    actor: text,
    action: text,
    target: text,
    outcome: text,
    operationId: text,
    reason: text,
    peer: text,
    times: int,
  },
});

export const Hosts = new EntitySchema<Host>({
  name: "Host",
  tableName: "hosts",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "hosts_pkey" },
    name: text,
    labels: json,
    draining: flag,
    decommissioning: flag,
    agentInfo: maybeJson,
    address: text,
    message: text,
    engineProblem: text,
    certificateSerial: text,
    certificateNumber: int,
    acceptedNumber: int,
    certificateExpiresAt: time,
    reportStream: text,
    reportSequence: { type: "bigint" },
    enrolledAt: time,
    lastSeen: maybeTime,
    decommissionedAt: maybeTime,
  },
});

export const JoinTokens = new EntitySchema<JoinToken>({
  name: "JoinToken",
  tableName: "join_tokens",
  columns: {
    id: { ...text, primary: true, primaryKeyConstraintName: "join_tokens_pkey" },
    hostName: text,
    secretHash: text,
    labels: json,
    createdAt: time,
    createdBy: text,
    expiresAt: time,
    usedAt: maybeTime,
    usedKey: maybeText,
    revokedAt: maybeTime,
    hostId: { type: "uuid", nullable: true },
  },
});

export const RefusedJoins = new EntitySchema<RefusedJoin>({
  name: "RefusedJoin",
  tableName: "refused_joins",
  columns: {
    id: { type: "uuid", primary: true, primaryKeyConstraintName: "refused_joins_pkey" },
    at: time,
    tokenId: text,
    hostName: text,
    machineName: text,
    address: text,
    reason: text,
    message: text,
    times: int,
  },
});

export const entities = [
  Installations,
  Fleets,
  Deckies,
  DriftChecks,
  Revisions,
  Operations,
  Steps,
  Outbox,
  Tokens,
  Audit,
  Hosts,
  JoinTokens,
  RefusedJoins,
  Topologies,
  TopologyEvents,
];
