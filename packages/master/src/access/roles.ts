import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { Role } from "../model/access.ts";

/** The least role that may call each method. A method that is not here is refused; a test compares the list with the contract. */
export const leastRole: Readonly<Record<string, Role>> = {
  "decnet.v1.MutationService/AddService": "operator",
  "decnet.v1.MutationService/RemoveService": "operator",
  "decnet.v1.MutationService/UpdateServiceConfig": "operator",
  "decnet.v1.MutationService/BatchMutate": "operator",
  "decnet.v1.FleetService/ApplyFleet": "operator",
  "decnet.v1.FleetService/GetFleet": "viewer",
  "decnet.v1.FleetService/ListDeckies": "viewer",
  "decnet.v1.FleetService/GetDecky": "viewer",
  "decnet.v1.FleetService/ListRevisions": "viewer",
  "decnet.v1.FleetService/RestoreRevision": "operator",
  "decnet.v1.FleetService/RotateDecky": "operator",
  "decnet.v1.FleetService/TeardownDecky": "operator",
  "decnet.v1.FleetService/TeardownFleet": "operator",
  "decnet.v1.FleetService/StreamLogs": "viewer",
  "decnet.v1.TopologyService/CreateTopology": "operator",
  "decnet.v1.TopologyService/GenerateTopology": "operator",
  "decnet.v1.TopologyService/GetTopology": "viewer",
  "decnet.v1.TopologyService/ListTopologies": "viewer",
  "decnet.v1.TopologyService/AddLan": "operator",
  "decnet.v1.TopologyService/UpdateLan": "operator",
  "decnet.v1.TopologyService/RemoveLan": "operator",
  "decnet.v1.TopologyService/AddDecky": "operator",
  "decnet.v1.TopologyService/UpdateDecky": "operator",
  "decnet.v1.TopologyService/RemoveDecky": "operator",
  "decnet.v1.TopologyService/AttachDecky": "operator",
  "decnet.v1.TopologyService/DetachDecky": "operator",
  "decnet.v1.TopologyService/ValidateTopology": "viewer",
  "decnet.v1.TopologyService/DeployTopology": "operator",
  "decnet.v1.TopologyService/TeardownTopology": "operator",
  "decnet.v1.TopologyService/DeleteTopology": "operator",
  "decnet.v1.TopologyService/ResyncTopology": "operator",
  "decnet.v1.CatalogService/ListServices": "viewer",
  "decnet.v1.CatalogService/GetService": "viewer",
  "decnet.v1.CatalogService/ListArchetypes": "viewer",
  "decnet.v1.CatalogService/ListDistros": "viewer",
  "decnet.v1.OperationService/ListOperations": "viewer",
  "decnet.v1.OperationService/GetOperation": "viewer",
  "decnet.v1.OperationService/WatchOperation": "viewer",
  "decnet.v1.OperationService/CancelOperation": "operator",
  "decnet.v1.EventService/Subscribe": "viewer",
  "decnet.v1.WebhookService/AddWebhook": "admin",
  "decnet.v1.WebhookService/ListWebhooks": "viewer",
  "decnet.v1.WebhookService/RemoveWebhook": "admin",
  "decnet.v1.WebhookService/TestWebhook": "admin",
  "decnet.v1.WebhookService/ResumeWebhook": "admin",
  "decnet.v1.EventService/GetBus": "viewer",
  "decnet.v1.SwarmService/CreateJoinToken": "admin",
  "decnet.v1.SwarmService/ListJoinTokens": "admin",
  "decnet.v1.SwarmService/RevokeJoinToken": "admin",
  "decnet.v1.SwarmService/ListRefusedJoins": "viewer",
  "decnet.v1.SwarmService/ListHosts": "viewer",
  "decnet.v1.SwarmService/GetHost": "viewer",
  "decnet.v1.SwarmService/DrainHost": "admin",
  "decnet.v1.SwarmService/ActivateHost": "admin",
  "decnet.v1.SwarmService/DecommissionHost": "admin",
  "decnet.v1.SwarmService/ListOrphans": "viewer",
  "decnet.v1.SwarmService/RemoveOrphans": "admin",
  "decnet.v1.AccessService/WhoAmI": "viewer",
  "decnet.v1.AccessService/CreateToken": "admin",
  "decnet.v1.AccessService/ListTokens": "admin",
  "decnet.v1.AccessService/RevokeToken": "admin",
  "decnet.v1.AccessService/ListAudit": "admin",
};

/** Calls that agents make, and what each needs instead of a role. */
export const agentCalls: Readonly<Record<string, "join token" | "certificate">> = {
  "decnet.v1.EnrollmentService/Enroll": "join token",
  "decnet.v1.EnrollmentService/RenewCertificate": "certificate",
  "decnet.v1.RegistrationService/Register": "certificate",
  "decnet.v1.RegistrationService/Report": "certificate",
};

/** What masters ask each other about hosts that are connected to them; for a certificate of a master alone. */
export const masterCalls: ReadonlySet<string> = new Set(
  AgentService.methods.map((method) => `${AgentService.typeName}/${method.name}`),
);

/** Services that anyone may call: they say that the master lives and what its contract is. */
export const openServices: ReadonlySet<string> = new Set([
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
]);

const ranks = { viewer: 1, operator: 2, admin: 3 } as const satisfies Record<Role, number>;

export function mayCall(role: Role, needed: Role): boolean {
  return ranks[role] >= ranks[needed];
}
