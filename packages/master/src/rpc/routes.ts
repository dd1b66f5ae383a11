import type { ConnectRouter } from "@connectrpc/connect";
import { registerHealth } from "@decnet/common/rpc/health";
import { registerReflection } from "@decnet/common/rpc/reflection";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { TopologyService } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { WebhookService } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import { createCatalogHandlers } from "@decnet/engine/wire/catalog-handlers";
import { createAccessHandlers } from "./access-handlers.ts";
import { createEnrollmentHandlers, createRegistrationHandlers } from "./agent-facing-handlers.ts";
import { createEventHandlers } from "./event-handlers.ts";
import { createFleetHandlers } from "./fleet-handlers.ts";
import { createMutationHandlers } from "./mutation-handlers.ts";
import { createOperationHandlers } from "./operation-handlers.ts";
import type { MasterParts } from "./parts.ts";
import { createRelayHandlers } from "./relay-handlers.ts";
import { createSwarmHandlers } from "./swarm-handlers.ts";
import { createTopologyHandlers } from "./topology-handlers.ts";
import { createWebhookHandlers } from "./webhook-handlers.ts";

export const masterServices = [
  MutationService,
  FleetService,
  TopologyService,
  SwarmService,
  CatalogService,
  OperationService,
  EventService,
  WebhookService,
  AccessService,
  EnrollmentService,
  RegistrationService,
];

/** What an agent says at once is less; it is refused before anybody reads it. */
const mostOfAgents = 1 << 20;
const large: Readonly<Record<string, number>> = {
  "decnet.v1.FleetService/ApplyFleet": 300_000,
  "decnet.v1.MutationService/BatchMutate": 500_000,
};

/** Of most requests, and of those that are about thousands of deckies. */
export const requestLimits = {
  maxRequestBytes: 4 << 20,
  maxValues: (method: string): number | undefined => large[method],
} as const;

export function createRoutes(parts: MasterParts): (router: ConnectRouter) => void {
  return (router) => {
    router.service(MutationService, createMutationHandlers(parts));
    router.service(FleetService, createFleetHandlers(parts));
    router.service(TopologyService, createTopologyHandlers(parts));
    router.service(CatalogService, createCatalogHandlers(parts));
    router.service(OperationService, createOperationHandlers(parts));
    router.service(EventService, createEventHandlers(parts));
    router.service(WebhookService, createWebhookHandlers(parts));
    router.service(AccessService, createAccessHandlers(parts));
    router.service(SwarmService, createSwarmHandlers(parts));
    router.service(EnrollmentService, createEnrollmentHandlers(parts), { readMaxBytes: mostOfAgents });
    router.service(RegistrationService, createRegistrationHandlers(parts), { readMaxBytes: mostOfAgents });
    router.service(AgentService, createRelayHandlers(parts));
    registerHealth(
      router,
      masterServices.map((service) => service.typeName),
      parts.isReady,
      parts.stopping,
    );
    registerReflection(router, masterServices);
  };
}
