import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { TokenStore } from "../access/tokens.ts";
import type { FleetChanges } from "../changes/apply-fleet.ts";
import type { Batches } from "../changes/batches.ts";
import type { HostChanges } from "../changes/host-changes.ts";
import type { Mutations } from "../changes/mutate.ts";
import type { Converger } from "../convergence/converger.ts";
import type { Enrollment } from "../hosts/enrollment.ts";
import type { Registration } from "../hosts/registration.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Database } from "../store/database.ts";
import type { DeckyStore } from "../store/deckies.ts";
import type { HostStore } from "../store/hosts.ts";
import type { JoinTokenStore } from "../store/join-tokens.ts";
import type { OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";

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
