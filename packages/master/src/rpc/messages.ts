import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type DeckySchema,
  DeckyState,
  type RotationSchema,
  type RotationStatusSchema,
  ServiceState,
} from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  ChangeAction,
  OperationKind,
  type OperationSchema,
  OperationState,
  type PlanSchema,
  type ServiceChangeSchema,
  StepState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import { secretKeys } from "@decnet/engine/catalog/effective";
import type { Catalog, ServiceConfig } from "@decnet/engine/catalog/types";
import { toRefMessage } from "@decnet/engine/wire/decky-spec";
import { toEgressMessage } from "@decnet/engine/wire/egress";
import { deckyStates as judgedStates, serviceStates, toReceiptMessage } from "@decnet/engine/wire/outcome";
import type { Decky, DeckyState as StateWord, StoredService } from "../model/decky.ts";
import type {
  OperationKind as KindWord,
  OperationRecord,
  OperationState as OperationStateWord,
  OperationStep,
  PlanRecord,
  ServiceChange,
} from "../model/operation.ts";
import type { Rotation, RotationSetting } from "../model/rotation.ts";
import type { ShownDecky } from "../store/deckies.ts";

/** Our types as messages. Secrets stop here: they have no way into a message. */

export const operationStates = {
  pending: OperationState.PENDING,
  running: OperationState.RUNNING,
  succeeded: OperationState.SUCCEEDED,
  failed: OperationState.FAILED,
  cancelled: OperationState.CANCELLED,
  superseded: OperationState.SUPERSEDED,
} as const satisfies Record<OperationStateWord, OperationState>;

export const operationKinds = {
  add_service: OperationKind.ADD_SERVICE,
  remove_service: OperationKind.REMOVE_SERVICE,
  update_service_config: OperationKind.UPDATE_SERVICE_CONFIG,
  restore_revision: OperationKind.RESTORE_REVISION,
  deploy_decky: OperationKind.DEPLOY_DECKY,
  change_decky: OperationKind.CHANGE_DECKY,
  teardown_decky: OperationKind.TEARDOWN_DECKY,
  apply_fleet: OperationKind.APPLY_FLEET,
  teardown_fleet: OperationKind.TEARDOWN_FLEET,
  repair: OperationKind.REPAIR,
  move_decky: OperationKind.MOVE_DECKY,
  drain_host: OperationKind.DRAIN_HOST,
  decommission_host: OperationKind.DECOMMISSION_HOST,
  batch: OperationKind.BATCH,
  deploy_topology: OperationKind.DEPLOY_TOPOLOGY,
  edit_topology: OperationKind.EDIT_TOPOLOGY,
  resync_topology: OperationKind.RESYNC_TOPOLOGY,
  teardown_topology: OperationKind.TEARDOWN_TOPOLOGY,
  create_topology: OperationKind.CREATE_TOPOLOGY,
  delete_topology: OperationKind.DELETE_TOPOLOGY,
  rotate_services: OperationKind.ROTATE_SERVICES,
  remove_orphans: OperationKind.REMOVE_ORPHANS,
} as const satisfies Record<KindWord, OperationKind>;

export const deckyStates = {
  ...judgedStates,
  changing: DeckyState.CHANGING,
  unknown: DeckyState.UNKNOWN,
} as const satisfies Record<StateWord, DeckyState>;

const actions = {
  added: ChangeAction.ADDED,
  removed: ChangeAction.REMOVED,
  changed: ChangeAction.CHANGED,
  staged: ChangeAction.STAGED,
} as const;

const stepStates = { running: StepState.RUNNING, succeeded: StepState.SUCCEEDED, failed: StepState.FAILED } as const;

export function toOperationMessage(
  { row, steps, children }: OperationRecord,
  waitingFor = "",
): MessageInitShape<typeof OperationSchema> {
  return {
    id: row.id,
    kind: operationKinds[row.kind],
    // A dry run is not an operation: it has no id and no state.
    state: row.id === "" ? OperationState.UNSPECIFIED : operationStates[row.state],
    ...(row.deckyName === "" ? {} : { decky: toRefMessage({ scope: row.scope, name: row.deckyName }) }),
    revision: row.revision,
    actor: row.actor,
    reason: row.reason,
    ...(row.plan === null ? {} : { plan: toPlanMessage(row.plan) }),
    steps: steps.map(toStepMessage),
    ...(row.receipt === null
      ? {}
      : {
          receipt: toReceiptMessage(row.receipt),
        }),
    ...(row.error === null ? {} : { error: { ...row.error, next: [...row.error.next], outputTail: [...row.error.outputTail] } }),
    service: row.service,
    requestId: row.requestId ?? "",
    createdAt: timestampFromDate(row.createdAt),
    ...(row.startedAt === null ? {} : { startedAt: timestampFromDate(row.startedAt) }),
    ...(row.finishedAt === null ? {} : { finishedAt: timestampFromDate(row.finishedAt) }),
    parent: row.parent ?? "",
    children: [...children],
    host: row.host,
    waitingFor,
    warnings: [...(row.plan?.warnings ?? [])],
    cancelledBy: row.cancelledBy?.actor ?? "",
    cancelReason: row.cancelledBy?.reason ?? "",
    topology: row.scope === "fleet" ? "" : row.scope,
  };
}

export function toStepMessage(step: OperationStep) {
  return {
    number: step.number,
    verb: step.verb,
    target: step.target,
    cause: step.cause,
    service: step.service,
    state: stepStates[step.state],
    startedAt: timestampFromDate(step.startedAt),
    ...(step.finishedAt === null ? {} : { finishedAt: timestampFromDate(step.finishedAt) }),
    outputTail: [...step.outputTail],
    attempt: step.attempt,
  };
}

export function toPlanMessage(plan: PlanRecord): MessageInitShape<typeof PlanSchema> {
  return {
    steps: plan.steps.map((step) => ({ ...step })),
    untouched: [...plan.untouched],
    risks: plan.risks.map((risk) => ({ ...risk, subjects: [...risk.subjects] })),
    baseRevision: plan.baseRevision,
    digest: plan.digest,
    text: plan.text,
    changes: plan.changes.map(toChangeMessage),
    deckies: (plan.deckies ?? []).map((part) => ({
      decky: toRefMessage({ scope: part.scope ?? "fleet", name: part.name }),
      host: part.host,
      action: part.action,
      plan: toPlanMessage(part.plan),
    })),
    warnings: [...(plan.warnings ?? [])],
    observed: [...(plan.observed ?? [])],
  };
}

export function toChangeMessage(change: ServiceChange): MessageInitShape<typeof ServiceChangeSchema> {
  return {
    service: change.service,
    action: actions[change.action],
    fields: change.fields.map((field) => ({ ...field, action: actions[field.action] })),
  };
}

export function toRotationMessage({ everySeconds, services }: RotationSetting): MessageInitShape<typeof RotationSchema> {
  return { every: { seconds: BigInt(everySeconds) }, services: [...services] };
}

function toRotationStatus(rotation: Rotation): MessageInitShape<typeof RotationStatusSchema> {
  const { setting, nextAt, lastAt, failures, message, pinned, barred } = rotation;
  return {
    setting: toRotationMessage(setting),
    nextAt: timestampFromDate(nextAt),
    ...(lastAt === null ? {} : { lastAt: timestampFromDate(lastAt) }),
    ...{ failures, message, pinned: [...pinned], barred: [...barred] },
  };
}

export function toDeckyMessage(
  row: Decky,
  { services, seenAt, rotation }: Omit<ShownDecky, "decky">,
  catalog: Catalog,
  warnings: readonly string[],
): MessageInitShape<typeof DeckySchema> {
  return {
    ref: toRefMessage(row),
    host: row.host,
    state: deckyStates[row.state],
    ...(seenAt === undefined ? {} : { observedAt: timestampFromDate(seenAt) }),
    desiredRevision: row.desiredRevision,
    appliedRevision: row.appliedRevision,
    addresses: row.attachments.map(({ lan, ip, mac }) => ({ lan: lan.name, ip, mac: warnings.length > 0 ? "" : mac })),
    services: services.map((service) => toServiceMessage(row, service, catalog)),
    identity: {
      hostname: row.identity.hostname,
      distro: row.identity.distro,
      baseImage: row.identity.baseImage,
      osFamily: row.identity.osFamily,
      archetype: row.identity.archetype,
    },
    message: row.message,
    warnings: warnings.map((warning) => warning.split(":")[0] ?? warning),
    lastOperation: row.lastOperation ?? "",
    baseContainerId: row.observed?.baseId ?? "",
    createdAt: timestampFromDate(row.createdAt),
    ...(rotation === undefined ? {} : { rotation: toRotationStatus(rotation) }),
    egress: toEgressMessage(row.identity.egress),
    deniedPackets: row.observed?.denied ?? 0,
  };
}

function toServiceMessage(row: Decky, service: StoredService, catalog: Catalog) {
  const secrets = secretKeys(catalog.services.get(service.slug));
  const seen = row.observed?.services.find((candidate) => candidate.slug === service.slug);
  const isKnown = seen !== undefined && row.state !== "unknown";
  const ports = catalog.services.get(service.slug)?.ports ?? [];
  return {
    slug: service.slug,
    config: plainConfig(service.config, secrets),
    state: isKnown ? serviceStates[seen.state] : ServiceState.UNKNOWN,
    ports: ports.map((port) => ({ ...port, listening: seen?.listening.includes(`${port.number}/${port.protocol}`) ?? false })),
    secretsSet: Object.keys(service.config).filter((key) => secrets.has(key)),
    ...(service.staged === undefined ? {} : { staged: plainConfig(service.staged, secrets) }),
    stagedSecrets: Object.keys(service.staged ?? {}).filter(
      (key) => secrets.has(key) && service.staged?.[key] !== service.config[key],
    ),
    containerName: seen?.containerName ?? "",
    containerId: seen?.containerId ?? "",
    ...(seen === undefined || !isShowable(seen.startedAt) ? {} : { startedAt: timestampFromDate(new Date(seen.startedAt)) }),
    restartCount: seen?.restartCount ?? 0,
    message: seen?.message ?? "",
    openSessions: seen?.openSessions ?? 0,
  };
}

/** Years that a timestamp in JSON can have. */
function isShowable(at: string): boolean {
  return /^\d{4}-/.test(at) && !Number.isNaN(Date.parse(at));
}

/** A service's settings without its secrets. */
export function plainConfig(
  config: ServiceConfig,
  secrets: ReadonlySet<string>,
): Record<string, string | number | boolean | string[]> {
  return Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => !secrets.has(key))
      .map(([key, value]) => [key, typeof value === "object" ? [...value] : value]),
  );
}
