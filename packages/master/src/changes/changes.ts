import type { Logger } from "@decnet/common/logging/logger";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Convergence } from "../convergence/convergence.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Store } from "../store/store.ts";
import { createTopologyStates, type TopologyStates } from "../topologies/keep-states.ts";
import { createFrontDoor } from "./accept.ts";
import { createFleetChanges, type FleetChanges } from "./apply-fleet.ts";
import { type Batches, createBatches } from "./batches.ts";
import { type Cancellations, createCancellations } from "./cancel.ts";
import { createHostChanges, type HostChanges } from "./host-changes.ts";
import { createMutations, type Mutations } from "./mutate.ts";
import { createOrphans, type Orphans } from "./orphans.ts";
import { createRotations, type Rotations } from "./rotate.ts";
import { createTopologyChanges, type TopologyChanges } from "./topologies.ts";

/** Everything that may be asked of the master to change. */
export interface Changes {
  readonly mutations: Mutations;
  readonly fleet: FleetChanges;
  readonly batches: Batches;
  readonly cancellations: Cancellations;
  readonly hostChanges: HostChanges;
  readonly orphans: Orphans;
  readonly topologies: TopologyChanges;
  readonly topologyStates: TopologyStates;
  readonly rotations: Rotations;
}

export interface ChangesOptions {
  readonly store: Store;
  readonly hosts: HostRegistry;
  readonly catalog: Catalog;
  readonly convergence: Convergence;
  /** Tells this master from others that use the same database. */
  readonly master: string;
  /** The fleet's settings were stored, its drift policy among them. */
  readonly onSettings: () => void;
  /** Cuts every connection that a host's certificates opened. */
  readonly disconnect: (hostId: string) => void;
  readonly log: Logger;
  /** Ends what a host's calls are doing, and lets none begin before the result is called. */
  readonly holdCalls: (hostId: string) => Promise<() => void>;
  readonly stopping: AbortSignal;
  /** Keyed hash. */
  readonly fingerprint: (text: string) => string;
}

export function createChanges(options: ChangesOptions): Changes {
  const { store, hosts, convergence, master } = options;
  const { board } = convergence;
  const door = createFrontDoor(store, hosts);
  const shared = { ...options, ...convergence, door };
  const mutations = createMutations(shared);
  const topologyStates = createTopologyStates(store, options.log, options.stopping);
  return {
    mutations,
    rotations: createRotations({ ...shared, mutations }),
    fleet: createFleetChanges(shared),
    batches: createBatches(store, door, board, master),
    cancellations: createCancellations(shared),
    hostChanges: createHostChanges(shared),
    orphans: createOrphans(shared),
    topologies: createTopologyChanges({ ...shared, states: topologyStates }),
    topologyStates,
  };
}
