import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { TokenStore } from "../access/tokens.ts";
import type { Converger } from "../convergence/converger.ts";
import type { DeckyStore } from "../deckies/decky-store.ts";
import type { EventLog } from "../events/outbox.ts";
import type { FleetChanges } from "../fleet/apply-fleet.ts";
import type { Enrollment } from "../hosts/enrollment.ts";
import type { HostChanges } from "../hosts/host-changes.ts";
import type { HostRegistry } from "../hosts/host-registry.ts";
import type { HostStore } from "../hosts/host-store.ts";
import type { JoinTokenStore } from "../hosts/join-tokens.ts";
import type { Registration } from "../hosts/registration.ts";
import type { Batches } from "../mutations/batches.ts";
import type { Mutations } from "../mutations/mutate.ts";
import type { OperationStore } from "../operations/operation-store.ts";
import type { Database } from "../persistence/database.ts";

/** How workers join, report, and leave. */
export interface Swarm {
  readonly tokens: JoinTokenStore;
  readonly enrollment: Enrollment;
  readonly registration: Registration;
  readonly changes: HostChanges;
  readonly caHash: string;
  readonly caCertPem: string;
  /** Where workers reach this master, as host:port; empty when it does not listen for them. */
  readonly addresses: () => readonly string[];
}

/** What handlers delegate to. */
export interface MasterParts {
  readonly database: Database;
  readonly catalogue: Catalogue;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly mutations: Mutations;
  readonly fleet: FleetChanges;
  readonly converger: Converger;
  readonly hosts: HostRegistry;
  readonly hostStore: HostStore;
  readonly batches: Batches;
  readonly swarm: Swarm;
  readonly installation: string;
  readonly tokens: TokenStore;
  readonly fingerprint: (text: string) => string;
  readonly version: string;
  readonly stopping: AbortSignal;
  readonly isReady: () => boolean;
}
