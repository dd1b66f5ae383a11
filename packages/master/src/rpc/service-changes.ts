import {
  type AddServiceRequest,
  type RemoveServiceRequest,
  UpdateMode,
  type UpdateServiceConfigRequest,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { coerceConfig, unknownSettings } from "@decnet/engine/catalog/coerce";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Mutation } from "../decide/resolve-mutation.ts";
import { addService, findEntry, removeService, updateService } from "../model/services.ts";
import { invalid, parseSlug } from "./requests.ts";

/** What one request does to a decky's services; whatever can be refused without looking at the decky is refused here. */
export type ServiceChange = Pick<Mutation, "kind" | "service" | "warnings"> & {
  readonly changeFor: (decky: string) => Mutation["change"];
};

export function parseAdd(request: Pick<AddServiceRequest, "service" | "config">, catalog: Catalog): ServiceChange {
  const entry = findEntry(catalog, parseSlug(request.service));
  const config = coerceConfig(entry, request.config);
  return {
    kind: "add_service",
    service: entry.slug,
    warnings: unknownSettings(entry, request.config),
    changeFor: (decky) => (services) => addService(services, entry, config, decky, catalog),
  };
}

/** The catalog is not asked: a service that is no longer on offer can still be removed. */
export function parseRemove(request: Pick<RemoveServiceRequest, "service">): ServiceChange {
  const slug = parseSlug(request.service);
  return { kind: "remove_service", service: slug, changeFor: (decky) => (services) => removeService(services, slug, decky) };
}

export function parseUpdate(
  request: Pick<UpdateServiceConfigRequest, "service" | "config" | "mode" | "clearSecrets" | "apply">,
  catalog: Catalog,
): ServiceChange {
  const entry = findEntry(catalog, parseSlug(request.service));
  if (!(request.mode in UpdateMode)) throw invalid([{ field: "mode", description: "unknown value" }]);
  if (request.clearSecrets.length > 100) throw invalid([{ field: "clear_secrets", description: "at most 100 keys" }]);
  coerceConfig(entry, request.config);
  const mode = request.mode === UpdateMode.MERGE ? "merge" : "replace";
  const update = { config: request.config, mode, clearSecrets: request.clearSecrets, apply: request.apply } as const;
  return {
    kind: "update_service_config",
    service: entry.slug,
    warnings: unknownSettings(entry, request.config),
    changeFor: (decky) => (services) => updateService(services, entry, update, decky),
  };
}
