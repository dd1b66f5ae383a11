import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { registerHealth } from "@decnet/common/rpc/health";
import { registerReflection } from "@decnet/common/rpc/reflection";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { createCatalogHandlers } from "@decnet/engine/wire/catalog-handlers";
import { type AgentParts, createAgentHandlers } from "./agent-handlers.ts";

const services = [AgentService, CatalogService];

/** The same services for the master, over the connection that this agent opened, and for reading on loopback. */
export function createAgentRoutes(parts: AgentParts): (router: ConnectRouter) => void {
  return (router) => {
    router.service(AgentService, createAgentHandlers(parts));
    router.service(CatalogService, createCatalogHandlers(parts));
    registerHealth(
      router,
      services.map((service) => service.typeName),
      () => !parts.stopping.aborted,
      parts.stopping,
    );
    registerReflection(router, services);
  };
}

const readable: ReadonlySet<string> = new Set([
  "decnet.v1.AgentService/Inspect",
  ...CatalogService.methods.map((method) => `${CatalogService.typeName}/${method.name}`),
]);

/**
 * On loopback anyone on this machine may read; changes come from the master alone, over the connection that the agent opened.
 */
export function createLocalGate(): Interceptor {
  return (next) => (request) => {
    const { typeName } = request.service;
    const isOurs = services.some((service) => service.typeName === typeName);
    if (isOurs && !readable.has(`${typeName}/${request.method.name}`))
      throw new AppError(
        "NOT_ALLOWED",
        `${request.method.name} is the master's alone; on loopback this agent only answers reads`,
        {
          metadata: { needed: "master", role: "local" },
        },
      );
    return next(request);
  };
}
