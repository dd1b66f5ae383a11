import { type DescMessage, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { MutationService } from "@decnet/common/gen/decnet/v1/mutation_pb";
import {
  AddServiceRequestSchema,
  RemoveServiceRequestSchema,
  UpdateMode,
  UpdateServiceConfigRequestSchema,
} from "@decnet/common/gen/decnet/v1/mutation_pb";
import { coerceConfig } from "@decnet/engine/catalogue/coerce";
import { addService, findEntry, removeService, updateService } from "../deckies/services.ts";
import type { Mutation } from "../mutations/mutate.ts";
import { awaitOperation } from "./await-operation.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseOptions, parseRef, parseSlug, waits } from "./requests.ts";

export function createMutationHandlers(parts: MasterParts): ServiceImpl<typeof MutationService> {
  const { catalogue } = parts;
  return {
    async addService(request, context) {
      const ref = parseRef(request.decky);
      const entry = findEntry(catalogue, parseSlug(request.service));
      const config = coerceConfig(entry, request.config);
      const change: Mutation["change"] = (services) => addService(services, entry, config, ref.name, catalogue);
      const submitted = {
        kind: "add_service",
        service: entry.slug,
        change,
        ...common(parts, AddServiceRequestSchema, request, context),
      } as const;
      const record = await parts.mutations.submit(submitted);
      return { operation: await awaitOperation(record, waits(request.options), parts.operations, context, parts.stopping) };
    },
    async removeService(request, context) {
      const ref = parseRef(request.decky);
      // No look into the catalogue: a service that is no longer on offer can still be removed.
      const slug = parseSlug(request.service);
      const change: Mutation["change"] = (services) => removeService(services, slug, ref.name);
      const submitted = {
        kind: "remove_service",
        service: slug,
        change,
        ...common(parts, RemoveServiceRequestSchema, request, context),
      } as const;
      const record = await parts.mutations.submit(submitted);
      return { operation: await awaitOperation(record, waits(request.options), parts.operations, context, parts.stopping) };
    },
    async updateServiceConfig(request, context) {
      const ref = parseRef(request.decky);
      const entry = findEntry(catalogue, parseSlug(request.service));
      if (!(request.mode in UpdateMode)) throw invalid([{ field: "mode", description: "is no known value" }]);
      if (request.clearSecrets.length > 100) throw invalid([{ field: "clear_secrets", description: "at most 100 keys" }]);
      coerceConfig(entry, request.config);
      const mode = request.mode === UpdateMode.MERGE ? "merge" : "replace";
      const update = { config: request.config, mode, clearSecrets: request.clearSecrets, apply: request.apply } as const;
      const change: Mutation["change"] = (services) => updateService(services, entry, update, ref.name);
      const submitted = {
        kind: "update_service_config",
        service: entry.slug,
        change,
        ...common(parts, UpdateServiceConfigRequestSchema, request, context),
      } as const;
      const record = await parts.mutations.submit(submitted);
      return { operation: await awaitOperation(record, waits(request.options), parts.operations, context, parts.stopping) };
    },
  };
}

type MutatingRequest = { readonly decky?: Parameters<typeof parseRef>[0]; readonly options?: Parameters<typeof parseOptions>[0] };

/** What every mutation of one decky has in common. */
export function common<Desc extends DescMessage>(
  parts: MasterParts,
  schema: Desc,
  request: MessageShape<Desc> & MutatingRequest,
  context: HandlerContext,
): Pick<Mutation, "scope" | "decky" | "actor" | "options" | "requestHash"> {
  const { scope, name } = parseRef(request.decky);
  const options = parseOptions(request.options);
  return { scope, decky: name, actor: callerOf(context).name, options, requestHash: hashRequest(parts, schema, request) };
}

/** Keyed, because requests hold secrets. */
export function hashRequest<Desc extends DescMessage>(parts: MasterParts, schema: Desc, request: MessageShape<Desc>): string {
  return parts.fingerprint(`${schema.typeName}\n${toJsonString(schema, request)}`);
}
