import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { kPeer } from "@decnet/common/rpc/peer";
import type { DeckyMutateRequest } from "@decnet/contract/gen/decnet/v1/bus_pb";
import { DeckyRefSchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { MutationService, UpdateMode } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { MutationOptionsSchema, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { admitCaller } from "../access/authenticate.ts";
import type { CarryOut, Outcome } from "../bus/commands.ts";
import { type Command, CommandRefused } from "../bus/read-command.ts";
import type { Caller } from "../model/access.ts";
import { createMutationHandlers } from "./mutation-handlers.ts";
import type { MasterParts } from "./parts.ts";

/** What is tried again until it is too late. A host that is away is waited for by the change itself. */
const passing: ReadonlySet<Code> = new Set([Code.Unavailable, Code.ResourceExhausted, Code.DeadlineExceeded, Code.Canceled]);

/** Makes of a command the call that it stands for, and passes it through everything that calls pass. */
export function createCommandDoor(parts: MasterParts, interceptors: readonly Interceptor[]): CarryOut {
  const handlers = createMutationHandlers(parts);
  return async (command, caller, place) => {
    const transport = createRouterTransport((router) => router.service(MutationService, handlers), {
      router: { interceptors: [as(caller, place), ...interceptors] },
    });
    try {
      await call(createClient(MutationService, transport), command);
      return { kind: "accepted" };
    } catch (error) {
      return outcomeOf(error);
    }
  };
}

/** Stands where a connection would say who is there. */
function as(caller: Caller, place: string): Interceptor {
  return (next) => async (request) => {
    const { contextValues } = request;
    admitCaller(contextValues, caller, `${request.service.typeName}/${request.method.name}`);
    contextValues.set(kPeer, { ...contextValues.get(kPeer), address: `bus ${place}` });
    return next(request);
  };
}

type Mutations = ReturnType<typeof createClient<typeof MutationService>>;

async function call(mutations: Mutations, { id, request }: Command): Promise<unknown> {
  const { serviceName: service, serviceConfig: config } = request;
  const shared = { service, decky: refOf(request), options: optionsOf(id, request) };
  switch (request.action) {
    case "add":
      return mutations.addService({ ...shared, ...(config === undefined ? {} : { config }) });
    case "remove":
      return mutations.removeService(shared);
    case "update": {
      const mode = request.merge ? UpdateMode.MERGE : UpdateMode.REPLACE;
      return mutations.updateServiceConfig({ ...shared, mode, apply: true, ...(config === undefined ? {} : { config }) });
    }
    default:
      throw new CommandRefused("REQUEST_INVALID", "action is add, remove or update");
  }
}

function refOf({ deckyName: name, topologyId = "" }: DeckyMutateRequest): MessageInitShape<typeof DeckyRefSchema> {
  return create(DeckyRefSchema, { name, topologyId });
}

function optionsOf(requestId: string, { reason, expectedRevision }: DeckyMutateRequest) {
  const revision = expectedRevision === undefined ? {} : { expectedRevision };
  return create(MutationOptionsSchema, { requestId, reason, wait: Wait.ACCEPTED, ...revision });
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof CommandRefused) return { kind: "refused", reason: error.reason, message: error.message };
  const connect = ConnectError.from(error);
  const { reason, message } = fromConnectError(connect);
  return { kind: passing.has(connect.code) ? "later" : "refused", reason, message };
}
