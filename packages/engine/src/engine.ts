import { type ApplyOptions, type ApplyOutcome, applyDecky } from "./host/apply-decky.ts";
import { type CheckedHost, checkDeckies } from "./host/check-deckies.ts";
import { type EngineOptions, type HostParts, openHostParts } from "./host/host-parts.ts";
import { type PreparedImage, prepareImages, pruneImages } from "./host/images.ts";
import { listOrphans, type OrphanRemoval, type RemovedOrphan, removeOrphans } from "./host/orphans.ts";
import { preparePlan } from "./host/prepare-plan.ts";
import { type HostSubnet, observeHostSubnets } from "./observe/host-subnets.ts";
import type { ObservedLan } from "./observe/lan.ts";
import type { HostBelongings, HostOrphans } from "./observe/leftovers.ts";
import type { LogEntry } from "./observe/logs.ts";
import { observeLan } from "./observe/observe-lan.ts";
import type { ObservedDecky } from "./observe/observed.ts";
import { type LogOptions, streamServiceLogs } from "./observe/service-logs.ts";
import type { Plan } from "./plan/plan.ts";
import { deckyNames } from "./render/names.ts";
import type { DeckySpec, DeckyTarget, LanSpec } from "./spec.ts";

export type { ApplyOptions, ApplyOutcome } from "./host/apply-decky.ts";
export type { CheckedDecky } from "./host/check-deckies.ts";
export type { EngineOptions } from "./host/host-parts.ts";
export type { PreparedImage } from "./host/images.ts";

export interface PlannedDecky {
  readonly plan: Plan;
  readonly observed: ObservedDecky;
}

/** One host's deckies: observe, diagnose, plan, execute. The same engine serves the master's own host and every worker. */
export interface Engine {
  /** What this host lacks now. */
  readonly warnings: readonly string[];
  plan(target: DeckyTarget): Promise<PlannedDecky>;
  apply(target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome>;
  /** A drift check of all deckies, with one list call. */
  check(specs: readonly DeckySpec[]): Promise<CheckedHost>;
  logs(decky: Pick<DeckySpec, "scope" | "name">, slug: string, options: LogOptions): AsyncIterable<LogEntry>;
  /** Whether this host can have a LAN, and who has addresses on it. */
  inspectLan(lan: LanSpec): Promise<ObservedLan>;
  /** Every network that something on this host has. */
  hostSubnets(): Promise<HostSubnet[]>;
  /**
   * What carries our mark and belongs to nothing. `belongings` is asked after looking, so that nothing that is made meanwhile
   * passes for an orphan. Empty: this installation; otherwise all of another one.
   */
  orphans(installation: string, belongings: () => Promise<HostBelongings>): Promise<HostOrphans>;
  /** Removes the named ones that are orphans still, and looks whether they are gone. */
  removeOrphans(removal: OrphanRemoval): Promise<RemovedOrphan[]>;
  /** Builds or pulls what the specs need and is not there, so that no change has to wait for it. */
  prepareImages(specs: readonly DeckySpec[], signal: AbortSignal): Promise<PreparedImage[]>;
  /** Removes images of ours that nothing needs any more, and returns their tags. */
  pruneImages(): Promise<string[]>;
  ping(): Promise<void>;
}

/** Connects to the Docker engine once to learn what it can do. Throws ENGINE_UNAVAILABLE or ENGINE_UNUSABLE. */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const parts = await openHostParts(options);
  return {
    get warnings() {
      return warningsOf(parts);
    },
    async plan(target) {
      const { plan, observed } = await preparePlan(parts, target);
      return { plan, observed };
    },
    apply: (target, how) => applyDecky(parts, target, how),
    check: (specs) => checkDeckies(parts, specs),
    logs: ({ scope, name }, slug, how) => streamServiceLogs(parts.api, deckyNames(scope, name).service(slug), slug, how),
    inspectLan: (lan) => observeLan(lan, { ...parts, ...parts.rights }),
    hostSubnets: () => observeHostSubnets(parts),
    orphans: (installation, belongings) => listOrphans(parts, installation, belongings),
    removeOrphans: (removal) => removeOrphans(parts, removal),
    prepareImages: (specs, signal) => prepareImages(parts, specs, signal),
    pruneImages: () => pruneImages(parts),
    ping: () => parts.api.ping(),
  };
}

function warningsOf({ pinMac, engineVersion, containment, blindness }: HostParts): string[] {
  const uncontained = containment.warning();
  return [
    ...(pinMac ? [] : [`mac_not_pinned: Engine ${engineVersion} cannot pin MAC addresses; install Engine 25 or newer`]),
    ...(uncontained === undefined ? [] : [`not_contained: ${uncontained}`]),
    ...(blindness === undefined ? [] : [`disk_not_watched: ${blindness}`]),
  ];
}
