import type { SecretCatalog } from "@decnet/engine/catalog/effective";
import type { Decky, DeckyState, StoredService } from "./decky.ts";
import type { HostState } from "./host.ts";
import type { Operation } from "./operation.ts";
import type { Topology, TopologyEvent } from "./topology.ts";

/** Something that happened, for the bus. Events with one key keep their order. */
export interface BusEvent {
  readonly topic: string;
  readonly key: string;
  readonly payload: Record<string, unknown>;
}

/** An event in the outbox. */
export interface StoredEvent extends BusEvent {
  readonly position: string;
  readonly eventId: string;
  readonly occurredAt: Date;
}

const served = {
  add_service: "service_added",
  remove_service: "service_removed",
  update_service_config: "service_config_changed",
} as const;

/**
 * Events of an operation that ended, with the services as they are wanted then. Values of secrets are never part of them.
 * Without a catalog, nothing is known to be no secret.
 */
export function operationEvents(operation: Operation, services: readonly StoredService[], catalog?: SecretCatalog): BusEvent[] {
  const name = operation.deckyName;
  if (name === "") return [];
  const common = {
    decky_name: name,
    topology_id: operation.scope === "fleet" ? null : operation.scope,
    operation: operation.id,
    actor: operation.actor,
    revision: operation.revision,
  };
  const kind = operation.kind;
  const isServed = kind === "add_service" || kind === "remove_service" || kind === "update_service_config";
  const service: BusEvent[] =
    operation.state === "succeeded" && isServed
      ? [
          {
            topic: `decky.${name}.${served[kind]}`,
            key: name,
            payload: {
              ...common,
              service_name: operation.service,
              ...(kind === "update_service_config"
                ? {
                    keys: operation.plan?.changes.flatMap((change) => change.fields.map((field) => field.key)) ?? [],
                    service_config: shownConfig(services, operation.service, catalog),
                    recreated: isRecreated(operation),
                  }
                : { services: services.map((each) => each.slug) }),
            },
          },
        ]
      : [];
  const rotated =
    kind === "rotate_services" && operation.state === "succeeded" ? rotationEvents(operation, services, common) : [];
  const lifecycle = {
    ...common,
    kind,
    state: operation.state,
    reason: operation.state === "cancelled" ? "OPERATION_CANCELLED" : (operation.error?.reason ?? ""),
    message: operation.error?.message ?? "",
  };
  return [...service, ...rotated, { topic: `decky.${name}.lifecycle`, key: name, payload: lifecycle }];
}

/** What came and went one by one, as if somebody had asked for it, and all of it together. */
function rotationEvents(
  { deckyName: name, plan }: Operation,
  services: readonly StoredService[],
  common: Record<string, unknown>,
): BusEvent[] {
  const changed = (action: string) =>
    (plan?.changes ?? []).flatMap((change) => (change.action === action ? [change.service] : []));
  const [added, removed] = [changed("added"), changed("removed")];
  const all = services.map(({ slug }) => slug);
  const event = (what: string, payload: object): BusEvent => ({
    topic: `decky.${name}.${what}`,
    key: name,
    payload: { ...common, ...payload },
  });
  return [
    ...removed.map((slug) => event("service_removed", { service_name: slug, services: all })),
    ...added.map((slug) => event("service_added", { service_name: slug, services: all })),
    event("rotated", { added, removed, services: all }),
  ];
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
    {
      topic: `decky.${decky.name}.state`,
      key: decky.name,
      payload: { decky_name: decky.name, host: decky.host, state, previous_state: decky.state, message },
    },
  ];
}

export function topologyEvent(
  { id, name, host }: Pick<Topology, "id" | "name" | "host">,
  event: Omit<TopologyEvent, "topologyId" | "at">,
): BusEvent {
  const { fromState, toState, reason } = event;
  const payload = { topology_id: id, topology: name, host, state: toState, previous_state: fromState, reason };
  return { topic: `topology.${id}.status`, key: `topology.${id}`, payload };
}

export function hostEvent(name: string, state: HostState, message: string): BusEvent[] {
  return [{ topic: `host.${name}.state`, key: `host.${name}`, payload: { host: name, state, message } }];
}

/** Somebody else used a worker's key beside the agent that is connected with it. */
export function secondAgentEvent(name: string, address: string, firstAddress: string, message: string): BusEvent[] {
  const payload = { host: name, address, first_address: firstAddress, message };
  return [{ topic: `host.${name}.second_agent`, key: `host.${name}`, payload }];
}
