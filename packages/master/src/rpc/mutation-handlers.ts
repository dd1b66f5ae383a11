import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import {
  AddServiceRequestSchema,
  RemoveServiceRequestSchema,
  UpdateServiceConfigRequestSchema,
} from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { awaitOperation } from "./await-operation.ts";
import { createBatchHandler } from "./batch-handler.ts";
import { common, type MutatingRequest } from "./mutating-request.ts";
import type { MasterParts } from "./parts.ts";
import { parseRef, waits } from "./requests.ts";
import { parseAdd, parseRemove, parseUpdate, type ServiceChange } from "./service-changes.ts";

export function createMutationHandlers(parts: MasterParts): ServiceImpl<typeof MutationService> {
  const { catalog } = parts;
  const submit = async <Desc extends DescMessage>(
    change: (decky: string) => ServiceChange,
    schema: Desc,
    request: MessageShape<Desc> & MutatingRequest,
    context: HandlerContext,
  ) => {
    const { name } = parseRef(request.decky);
    const { changeFor, ...what } = change(name);
    const shared = await common(parts, schema, request, context);
    const record = await parts.mutations.submit({ ...what, change: changeFor(name), ...shared });
    return { operation: await awaitOperation(record, waits(request.options), parts, context) };
  };
  return {
    addService: (request, context) => submit(() => parseAdd(request, catalog), AddServiceRequestSchema, request, context),
    removeService: (request, context) => submit(() => parseRemove(request), RemoveServiceRequestSchema, request, context),
    updateServiceConfig: (request, context) =>
      submit(() => parseUpdate(request, catalog), UpdateServiceConfigRequestSchema, request, context),
    batchMutate: createBatchHandler(parts),
  };
}
