import type { Fact } from "../store/outbox.ts";
import type { DeckyRow, OperationRow } from "../store/tables.ts";
import type { DeckyState, StoredService } from "./decky.ts";

const served = {
  add_service: "service_added",
  remove_service: "service_removed",
  update_service_config: "service_config_changed",
} as const;

/** Facts about an ended operation. Settings are not part of them: keys that changed are, values of secrets never. */
export function operationFacts(operation: OperationRow, services: readonly StoredService[]): Fact[] {
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
  const service: Fact[] =
    operation.state === "succeeded" && (kind === "add_service" || kind === "remove_service" || kind === "update_service_config")
      ? [
          {
            topic: `decky.${name}.${served[kind]}`,
            key: name,
            payload: {
              ...common,
              service_name: operation.service,
              ...(kind === "update_service_config"
                ? { keys: operation.plan?.changes.flatMap((change) => change.fields.map((field) => field.key)) ?? [] }
                : { services: services.map((each) => each.slug) }),
            },
          },
        ]
      : [];
  const lifecycle = {
    ...common,
    kind,
    state: operation.state,
    reason: operation.error?.reason ?? "",
    message: operation.error?.message ?? "",
  };
  return [...service, { topic: `decky.${name}.lifecycle`, key: name, payload: lifecycle }];
}

export function stateFact(
  decky: Pick<DeckyRow, "name" | "scope" | "host" | "state">,
  state: DeckyState | "gone",
  message: string,
): Fact[] {
  if (decky.state === state) return [];
  return [
    {
      topic: `decky.${decky.name}.state`,
      key: decky.name,
      payload: { decky_name: decky.name, host: decky.host, state, previous_state: decky.state, message },
    },
  ];
}
