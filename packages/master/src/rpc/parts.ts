import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { TokenStore } from "../access/tokens.ts";
import type { Converger } from "../convergence/converger.ts";
import type { HostLink } from "../convergence/host-link.ts";
import type { DeckyStore } from "../deckies/decky-store.ts";
import type { EventLog } from "../events/outbox.ts";
import type { FleetChanges } from "../fleet/apply-fleet.ts";
import type { Mutations } from "../mutations/mutate.ts";
import type { OperationStore } from "../operations/operation-store.ts";
import type { Database } from "../persistence/database.ts";

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
  readonly hosts: ReadonlyMap<string, HostLink>;
  readonly tokens: TokenStore;
  readonly fingerprint: (text: string) => string;
  readonly version: string;
  readonly stopping: AbortSignal;
  readonly isReady: () => boolean;
}
