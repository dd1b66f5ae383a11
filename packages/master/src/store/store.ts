import type { Logger } from "@decnet/common/logging/logger";
import { createOrigins, type Origins } from "@decnet/common/tracing/origins";
import type { Catalog } from "@decnet/engine/catalog/types";
import { type AuditLog, createAuditLog } from "./audit.ts";
import { type ClaimStore, createClaimStore } from "./claims.ts";
import type { Database } from "./database.ts";
import { createDeckyStore, type DeckyStore } from "./deckies.ts";
import { createFigureStore, type FigureStore } from "./figures.ts";
import { createFleetStore, type FleetStore } from "./fleets.ts";
import { createHostStore, type HostStore } from "./hosts.ts";
import { createJoinTokenStore, type JoinTokenStore } from "./join-tokens.ts";
import { createLeaseStore, type LeaseStore } from "./leases.ts";
import { createOperationLog, type EndedOperation } from "./operation-log.ts";
import { createOperationStore, type OperationStore } from "./operations.ts";
import { createEventLog, type EventLog } from "./outbox.ts";
import { createParentStore, type ParentStore } from "./parents.ts";
import { createRefusedJoinStore, type RefusedJoinStore } from "./refused-joins.ts";
import { createRelayStore, type RelayStore } from "./relays.ts";
import { createResolutions, type Resolutions } from "./resolutions.ts";
import { createResolver, type Resolver } from "./resolver.ts";
import { createRetention, type Retention } from "./retention.ts";
import { createRotationStore, type RotationStore } from "./rotations.ts";
import { createSealing } from "./sealing.ts";
import type { SecretBox } from "./secret-box.ts";
import { createSituations, type Situations } from "./situations.ts";
import { createTokenStore, type TokenStore } from "./tokens.ts";
import { createTopologyStore, type TopologyStore } from "./topologies.ts";
import { createTopologyEditStore, type TopologyEditStore } from "./topology-edits.ts";
import { createWebhookStore, type WebhookStore } from "./webhooks.ts";

/** All that the master keeps. Nobody outside this room sees the database's own types. */
export interface Store extends Pick<Database, "transaction" | "onReturn" | "close"> {
  readonly situations: Situations;
  readonly resolutions: Resolutions;
  readonly resolver: Resolver;
  readonly origins: Pick<Origins, "parentOf">;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly parents: ParentStore;
  readonly fleets: FleetStore;
  readonly topologies: TopologyStore;
  readonly topologyEdits: TopologyEditStore;
  readonly rotations: RotationStore;
  readonly events: EventLog;
  readonly webhooks: WebhookStore;
  readonly relays: RelayStore;
  readonly hosts: HostStore;
  readonly leases: LeaseStore;
  readonly masters: Pick<ClaimStore, "lockSilent">;
  readonly joinTokens: JoinTokenStore;
  readonly refusedJoins: RefusedJoinStore;
  readonly tokens: TokenStore;
  readonly audit: AuditLog;
  readonly retention: Retention;
  readonly figures: FigureStore;
  /**
   * Has the database count its rows. After thousands came at once it plans for up to a minute as if there were few, and reads
   * whole tables for each round of changes. A failure is logged: nothing but time is lost by it.
   */
  refreshStatistics(): Promise<void>;
  /** Stores what was only counted so far. */
  flush(): Promise<void>;
  /** Throws STORAGE_UNAVAILABLE, STORAGE_READ_ONLY, or STORAGE_FULL while the last write said so. */
  ping(): Promise<void>;
}

const refreshStatistics = {
  name: "decnet-refresh-statistics",
  text: "ANALYZE deckies, decky_revisions, operations, operation_steps",
};

export function createStore(
  database: Database,
  box: SecretBox,
  catalog: Catalog,
  log: Logger,
  onEnded?: (operation: EndedOperation) => void,
): Store {
  const journal = createOperationLog(log, onEnded);
  const sealing = createSealing(box, catalog);
  const situations = createSituations(database, sealing);
  const events = createEventLog(database);
  const origins = createOrigins();
  const resolutions = createResolutions(database, sealing, { log, origins, journal });
  const refusedJoins = createRefusedJoinStore(database, log);
  const rotations = createRotationStore(database, sealing);
  const audit = createAuditLog(database, log);
  return {
    transaction: database.transaction,
    onReturn: database.onReturn,
    close: database.close,
    situations,
    resolutions,
    origins,
    resolver: createResolver(database, situations, resolutions),
    deckies: createDeckyStore(database, sealing, rotations),
    operations: createOperationStore(database, events, journal),
    parents: createParentStore(database, events, journal),
    fleets: createFleetStore(database),
    rotations,
    topologies: createTopologyStore(database, sealing, events),
    topologyEdits: createTopologyEditStore(database, sealing),
    events,
    webhooks: createWebhookStore(database, box),
    relays: createRelayStore(database),
    hosts: createHostStore(database),
    leases: createLeaseStore(database),
    masters: createClaimStore(database),
    joinTokens: createJoinTokenStore(database),
    refusedJoins,
    tokens: createTokenStore(database),
    audit,
    retention: createRetention(database),
    figures: createFigureStore(database),
    async refreshStatistics() {
      const next = "large changes may be slow until the database counts by itself, within a minute or so";
      await database
        .run(refreshStatistics, [])
        .catch((error: unknown) => log.warn("the database did not count its rows after a large change", { err: error, next }));
    },
    async flush() {
      await refusedJoins.flush();
      await audit.flush();
    },
    ping: database.ping,
  };
}
