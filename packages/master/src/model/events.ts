import type { DeckyServiceAdded, EventKind, EventPayloads } from "@decnet/contract/gen/events";
import { keyOf, topicOf } from "@decnet/contract/topics";
import type { SecretCatalog } from "@decnet/engine/catalog/effective";
import type { Decky, DeckyState, StoredService } from "./decky.ts";
import type { HostState } from "./host.ts";
import { hasEnded, type Operation } from "./operation.ts";
import type { Topology, TopologyEvent } from "./topology.ts";

/** Something that happened, for the bus. Events with one key keep their order. */
export interface BusEvent {
  readonly topic: string;
  readonly key: string;
  readonly payload: Record<string, unknown>;
}

/** An event in the outbox. */
export interface StoredEvent extends BusEvent {
  /** Of what it carries. */
  readonly version: number;
  readonly position: string;
  readonly eventId: string;
  readonly occurredAt: Date;
}

/** Everything that is told is made here, by its kind: proto/decnet/v1/bus.proto has them all. */
function tell<Kind extends EventKind>(kind: Kind, payload: EventPayloads[Kind]): BusEvent {
  return { topic: topicOf(kind, payload), key: keyOf(kind, payload), payload: { ...payload } };
}

/**
 * Events of an operation that ended, with the services as they are wanted then. Values of secrets are never part of them.
 * Without a catalog, nothing is known to be no secret.
 */
export function operationEvents(operation: Operation, services: readonly StoredService[], catalog?: SecretCatalog): BusEvent[] {
  const name = operation.deckyName;
  if (name === "") return [];
  const common = {
    decky_name: name,
    topology_id: topologyOf(operation),
    operation: operation.id,
    actor: operation.actor,
    revision: operation.revision,
  };
  return [
    ...(operation.state === "succeeded" ? serviceEvent(operation, services, catalog, common) : []),
    tell("decky.lifecycle", {
      ...common,
      kind: operation.kind,
      state: operation.state,
      reason: operation.state === "cancelled" ? "OPERATION_CANCELLED" : (operation.error?.reason ?? ""),
      message: operation.error?.message ?? "",
      request_id: operation.requestId ?? "",
    }),
  ];
}

export type EndedOperation = Pick<
  Operation,
  "id" | "kind" | "state" | "deckyId" | "scope" | "host" | "actor" | "requestId" | "error"
>;

/** The event of an operation of many deckies that ended. Those of one decky end with it. */
export function endEvents(operation: EndedOperation): BusEvent[] {
  const { id, kind, state, deckyId, host, actor, requestId, error } = operation;
  if (deckyId !== null || !hasEnded(operation)) return [];
  return [
    tell("operation.ended", {
      ...{ operation: id, kind, state, actor, topology_id: topologyOf(operation) },
      host: /_host$/.test(kind) ? host : "",
      reason: state === "cancelled" ? "OPERATION_CANCELLED" : (error?.reason ?? ""),
      message: error?.message ?? "",
      request_id: requestId ?? "",
    }),
  ];
}

function serviceEvent(
  operation: Operation,
  services: readonly StoredService[],
  catalog: SecretCatalog | undefined,
  common: Pick<DeckyServiceAdded, "decky_name" | "topology_id" | "operation" | "actor" | "revision">,
): BusEvent[] {
  const { kind, service, plan } = operation;
  const present = { ...common, service_name: service, services: services.map(({ slug }) => slug) };
  if (kind === "add_service") return [tell("decky.service_added", present)];
  if (kind === "remove_service") return [tell("decky.service_removed", present)];
  if (kind === "rotate_services") return rotationEvents(operation, present);
  if (kind !== "update_service_config") return [];
  return [
    tell("decky.service_config_changed", {
      ...common,
      service_name: service,
      keys: plan?.changes.flatMap((change) => change.fields.map((field) => field.key)) ?? [],
      service_config: shownConfig(services, service, catalog),
      recreated: isRecreated(operation),
    }),
  ];
}

/** What came and went one by one, as if somebody had asked for it, and all of it together. */
function rotationEvents({ plan }: Operation, present: DeckyServiceAdded): BusEvent[] {
  const changed = (action: string) =>
    (plan?.changes ?? []).flatMap((change) => (change.action === action ? [change.service] : []));
  const [added, removed] = [changed("added"), changed("removed")];
  const { service_name: _, ...common } = present;
  return [
    ...removed.map((slug) => tell("decky.service_removed", { ...present, service_name: slug })),
    ...added.map((slug) => tell("decky.service_added", { ...present, service_name: slug })),
    tell("decky.rotated", { ...common, added, removed }),
  ];
}

/** Null for what is of the fleet. */
function topologyOf({ scope }: { readonly scope: string }): string | null {
  return scope === "fleet" ? null : scope;
}

const redacted = "[redacted]";

/** What was saved last, applied or not. */
function shownConfig(
  services: readonly StoredService[],
  slug: string,
  catalog: SecretCatalog | undefined,
): Record<string, unknown> {
  const service = services.find((each) => each.slug === slug);
  const plain = new Set(
    catalog?.services
      .get(slug)
      ?.fields.filter(({ secret }) => !secret)
      .map(({ key }) => key),
  );
  const config = Object.entries(service?.staged ?? service?.config ?? {});
  return Object.fromEntries(config.map(([key, value]) => [key, plain.has(key) ? value : redacted]));
}

/** Whether its containers are new ones; a change that is only saved leaves them as they are. */
function isRecreated({ receipt, service }: Operation): boolean {
  const verdicts = receipt?.containers.flatMap((each) => (each.service === service ? [each.verdict] : [])) ?? [];
  return verdicts.includes("recreated") || verdicts.includes("created");
}

/** The event of a decky whose state changes; none when it stays. */
export function stateEvent(
  decky: Pick<Decky, "name" | "scope" | "host" | "state">,
  state: DeckyState | "gone",
  message: string,
): BusEvent[] {
  if (decky.state === state) return [];
  return [
    tell("decky.state", {
      decky_name: decky.name,
      topology_id: topologyOf(decky),
      host: decky.host,
      state,
      previous_state: decky.state,
      message,
    }),
  ];
}

export function topologyEvent(
  { id, name, host }: Pick<Topology, "id" | "name" | "host">,
  event: Omit<TopologyEvent, "topologyId" | "at">,
): BusEvent {
  const { fromState, toState, reason } = event;
  const payload = { topology_id: id, topology: name, host, state: toState, previous_state: fromState, reason };
  return tell("topology.status", payload);
}

/** The design has the next version, by an edit or because that was taken back. */
export function designEvent(
  { id, name, host, version }: Pick<Topology, "id" | "name" | "host" | "version">,
  { id: operation, actor }: Pick<Operation, "id" | "actor">,
  isTakenBack: boolean,
): BusEvent {
  const payload = { topology_id: id, topology: name, host, design_version: version + 1, operation, actor };
  return tell("topology.design", { ...payload, taken_back: isTakenBack });
}

export function hostEvent(name: string, state: HostState, message: string): BusEvent[] {
  return [tell("host.state", { host: name, state, message })];
}

/** Somebody else used a worker's key beside the agent that is connected with it. */
export function secondAgentEvent(name: string, address: string, firstAddress: string, message: string): BusEvent[] {
  return [tell("host.second_agent", { host: name, address, first_address: firstAddress, message })];
}

/** The bus was away for so long that events went before it had them. */
export function droppedEvent(count: number, position: string, until: Date): BusEvent {
  const payload = { count, until_sequence: position, until: until.toISOString() };
  return tell("system.bus.dropped", payload);
}
