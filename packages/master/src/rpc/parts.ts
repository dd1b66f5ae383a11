import type { Catalog } from "@decnet/engine/catalog/types";
import type { BusWatch } from "../bus/watch-bus.ts";
import type { FleetChanges } from "../changes/apply-fleet.ts";
import type { Batches } from "../changes/batches.ts";
import type { Cancellations } from "../changes/cancel.ts";
import type { HostChanges } from "../changes/host-changes.ts";
import type { Mutations } from "../changes/mutate.ts";
import type { Orphans } from "../changes/orphans.ts";
import type { Rotations } from "../changes/rotate.ts";
import type { TopologyChanges } from "../changes/topologies.ts";
import type { Board } from "../convergence/board.ts";
import type { Converger } from "../convergence/converger.ts";
import type { Enrollment } from "../hosts/enrollment.ts";
import type { Registration } from "../hosts/registration.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { KnownMaster } from "../store/claims.ts";
import type { Store } from "../store/store.ts";
import type { TopologyStates } from "../topologies/keep-states.ts";
import type { AddressRules } from "../webhooks/address-rules.ts";

/** How workers join, report, and leave. */
export interface Swarm {
  readonly enrollment: Enrollment;
  readonly registration: Registration;
  readonly changes: HostChanges;
  readonly orphans: Orphans;
  readonly caHash: string;
  readonly caCertPem: string;
  /** Where workers reach masters, as host:port, this one first; empty when none listens for them. */
  readonly addresses: () => readonly string[];
}

/** What handlers delegate to. None of them holds a transaction. */
export interface MasterParts {
  readonly store: Omit<Store, "transaction" | "resolutions" | "resolver">;
  readonly catalog: Catalog;
  readonly board: Board;
  readonly mutations: Mutations;
  readonly fleet: FleetChanges;
  readonly batches: Batches;
  readonly cancellations: Cancellations;
  readonly topologies: TopologyChanges;
  readonly rotations: Rotations;
  readonly topologyStates: TopologyStates;
  readonly converger: Converger;
  readonly hosts: HostRegistry;
  /** All masters of the last days, this one among them. */
  readonly knownMasters: () => readonly KnownMaster[];
  readonly swarm: Swarm;
  readonly webhookRules: AddressRules;
  readonly installation: string;
  readonly fingerprint: (text: string) => string;
  readonly version: string;
  readonly stopping: AbortSignal;
  /** Whether other masters take this one for gone, and may be ending what it began. */
  readonly isLate: () => boolean;
  readonly isReady: () => boolean;
  readonly bus: BusWatch;
}
