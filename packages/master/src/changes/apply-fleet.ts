import { randomInt, randomUUID } from "node:crypto";
import { createPace, inSlices, mapSliced } from "@decnet/common/runtime/slices";
import type { Catalog } from "@decnet/engine/catalog/types";
import { digestOf, formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { Converger } from "../convergence/converger.ts";
import type { HostedTarget, ImagePreparation } from "../convergence/image-preparation.ts";
import { type DeckyChange, hostsNeededBy, wantedDecky } from "../decide/decky-change.ts";
import type { ExpandedFleet } from "../decide/expand-fleet.ts";
import { fleetDifference, type PresentFleet } from "../decide/fleet-difference.ts";
import { takesPlace } from "../decide/lan-on-hosts.ts";
import { askHosts } from "../links/ask-hosts.ts";
import { isAway } from "../links/host-link.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky, FleetSettings, StoredService } from "../model/decky.ts";
import type { LanOnHosts } from "../model/lan.ts";
import {
  emptyPlan,
  makeOperation,
  type Operation,
  type OperationRecord,
  type PlanRecord,
  toPlanRecord,
  unknownPlan,
  withWarnings,
} from "../model/operation.ts";
import { diffServices } from "../model/services.ts";
import { toTarget } from "../model/spec.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";
import { type PartChange, storeParts } from "./store-parts.ts";

export interface FleetRequest extends ChangeRequest {
  /** Undefined: tear the whole fleet down. */
  readonly fleet: ExpandedFleet | undefined;
}

export interface FleetChanges {
  /** Applies a whole fleet: one operation for the request, one part for each decky that differs. */
  apply(request: FleetRequest): Promise<OperationRecord>;
  /** What is wanted now; undefined when no fleet was ever applied. */
  wanted(): Promise<WantedNow | undefined>;
}

export interface WantedNow {
  readonly settings: FleetSettings;
  readonly deckies: readonly { readonly decky: Decky; readonly services: readonly StoredService[] }[];
}

export interface FleetChangesOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: HostRegistry;
  readonly converger: Converger;
  readonly images: ImagePreparation;
  /** The fleet's settings were stored, its drift policy among them. */
  readonly onSettings: () => void;
  readonly catalog: Catalog;
}

interface FoundDifference {
  readonly changes: readonly DeckyChange[];
  readonly lans: LanOnHosts;
}

interface PlannedFleet extends PlannedChange {
  readonly plan: PlanRecord;
  readonly lans: LanOnHosts;
  /** What was agreed to, without what the hosts said. */
  readonly differenceDigest: string;
}

/** A stored plan names so many deckies one by one. */
const mostNamed = 500;

export function createFleetChanges(options: FleetChangesOptions): FleetChanges {
  const { store, door, hosts, converger, images, catalog, onSettings } = options;
  /** A large fleet takes a while to read. */
  const read = async (tx: Tx): Promise<PresentFleet> => {
    const deckies = await store.deckies.ofScope(tx, "fleet");
    return {
      deckies,
      services: await store.deckies.desiredServices(tx, deckies),
      hosts: (await store.hosts.list(tx)).map((host) => ({ ...host, isReachable: hosts.isReachable(host.name) })),
    };
  };

  const difference = (present: PresentFleet, fleet: ExpandedFleet | undefined): Promise<DeckyChange[]> => {
    const random = () => randomInt(1 << 30) / (1 << 30);
    return inSlices(fleetDifference(present, fleet, { catalog, now: new Date(), makeId: randomUUID, random }));
  };

  /** What is to be done now, and what the hosts that get deckies said of the LAN: they are asked before anything is locked. */
  const differenceNow = async (fleet: ExpandedFleet | undefined): Promise<FoundDifference> => {
    const present = await store.transaction(read);
    const changes = await difference(present, fleet);
    const placed = new Set(changes.filter(takesPlace).map(({ host }) => host));
    if (fleet === undefined || placed.size === 0) return { changes, lans: new Map() };
    const lans = await askHosts(hosts, fleet.lan, placed);
    return { changes: await difference({ ...present, lans }, fleet), lans };
  };

  const operationOf = (request: FleetRequest, plan: PlanRecord): Operation =>
    makeOperation({
      ...requested(request),
      kind: request.fleet === undefined ? "teardown_fleet" : "apply_fleet",
      plan: withWarnings(plan, request.fleet?.warnings),
    });

  const plan = async (request: FleetRequest): Promise<PlannedFleet> => {
    const { changes, lans } = await differenceNow(request.fleet);
    const parts: PlannedPart[] = [];
    const pace = createPace();
    for (const change of changes) {
      if (change.action !== "keep") parts.push(await planPart(change));
      await pace();
    }
    const record = planOf(changes, parts);
    return {
      plan: record,
      lans,
      digest: record.digest,
      differenceDigest: await digestOfDifference(changes, catalog),
      record: dryRunRecord(operationOf(request, record)),
    };
  };

  const planPart = async (change: DeckyChange): Promise<PlannedPart> => {
    const { decky, host } = change;
    const found = await planThere(host, targetOf(change));
    const text =
      found === undefined ? "  its host is away: what has to be done there is known when it is back" : formatPlan(found);
    const plan = toPlanRecord(found ?? unknownPlan, text, decky.desiredRevision, changesOf(change, catalog));
    return { change, plan: { ...plan, observed: found?.observed ?? [] } };
  };

  /** Undefined when the host is away, or turns out to be. */
  const planThere = async (host: string, target: HostTarget): Promise<PlanView | undefined> => {
    try {
      return hosts.isReachable(host) ? await hosts.link(host).plan(target) : undefined;
    } catch (error) {
      if (isAway(host, error)) return undefined;
      throw error;
    }
  };

  const storeFleet = async (request: FleetRequest, planned: PlannedFleet | undefined) => {
    const { lans } = planned ?? (await differenceNow(request.fleet));
    return store.transaction(async (tx) => {
      await store.fleets.lockPlacement(tx);
      await store.deckies.lockScope(tx, "fleet");
      const all = await difference({ ...(await read(tx)), lans }, request.fleet);
      // What was agreed to is compared with what is stored, under its locks.
      if (planned !== undefined && (await digestOfDifference(all, catalog)) !== planned.differenceDigest)
        throw planMoved("the fleet", planned.digest);
      const changes = all.filter((change) => change.action !== "keep");
      if (request.fleet !== undefined) {
        const { lan, driftPolicy, movePolicy } = request.fleet;
        await store.fleets.replace(tx, { lan, driftPolicy, movePolicy });
      }
      const now = new Date();
      const end = changes.length === 0 ? ({ state: "succeeded", finishedAt: now } as const) : ({ state: "running" } as const);
      const parent = { ...operationOf(request, planned?.plan ?? summary(all, catalog)), startedAt: now, ...end };
      const parts = await storeParts(tx, parent, agreedParts(changes, planned), { store, catalog });
      return { parent, parts, changes };
    });
  };

  return {
    wanted: () =>
      store.transaction(async (tx) => {
        const settings = await store.fleets.settings(tx);
        if (settings === undefined) return undefined;
        const deckies = (await store.deckies.ofScope(tx, "fleet")).filter((decky) => !decky.leaving);
        const services = await store.deckies.desiredServices(tx, deckies);
        return { settings, deckies: deckies.map((decky) => ({ decky, services: services.get(decky.id) ?? [] })) };
      }),
    apply: (request) =>
      door.accept<PlannedFleet>(request, {
        what: "the fleet",
        plan: () => plan(request),
        async hostsNeeded() {
          const movePolicy = request.fleet?.movePolicy ?? "keep_old";
          const changes = await difference(await store.transaction(read), request.fleet);
          return changes.flatMap((change) => hostsNeededBy(change, movePolicy));
        },
        async store(planned) {
          const { parent, parts, changes } = await storeFleet(request, planned);
          store.events.wake();
          if (request.fleet !== undefined) onSettings();
          images.begin(parent.id, hostedTargets(changes));
          for (const part of parts) if (part.deckyId !== null) converger.wake(part.deckyId);
          return { row: parent, steps: [], children: parts.map(({ id }) => id) };
        },
      }),
  };
}

interface PlannedPart {
  readonly change: DeckyChange;
  readonly plan: PlanRecord;
}

function targetOf(change: DeckyChange): HostTarget {
  const { action, decky, services } = change;
  const revision = action === "deploy" ? 1 : decky.desiredRevision + 1;
  return toTarget(wantedDecky(change), services, revision, action === "teardown");
}

/** What the changes put on hosts. */
function hostedTargets(changes: readonly DeckyChange[]): HostedTarget[] {
  return changes.flatMap((change) => {
    const target = targetOf(change);
    return target.kind === "present" ? [{ host: change.host, target }] : [];
  });
}

function changesOf({ action, before, services }: DeckyChange, catalog: Catalog) {
  return diffServices(before, action === "teardown" ? [] : services, catalog);
}

/** Made-up identities of new deckies differ from plan to plan and are not part of what is agreed to. */
async function digestOfDifference(changes: readonly DeckyChange[], catalog: Catalog): Promise<string> {
  const agreed = mapSliced(changes, (change) => [
    change.decky.name,
    change.host,
    change.action,
    changesOf(change, catalog),
    change.decky.desiredRevision,
  ]);
  return digestOf(await inSlices(agreed));
}

/** Each part is applied only as it was agreed to; of a new decky there was nothing to be seen. */
function agreedParts(changes: readonly DeckyChange[], planned: PlannedFleet | undefined): PartChange[] {
  const digests = new Map(planned?.plan.deckies?.map((part) => [part.name, part.plan.digest]));
  return changes.map((change) => ({
    change,
    expectedPlan: change.action === "deploy" ? "" : (digests.get(change.decky.name) ?? ""),
  }));
}

function planOf(changes: readonly DeckyChange[], parts: readonly PlannedPart[]): PlanRecord {
  const agreed = parts.map(({ change, plan }) => [
    change.decky.name,
    change.host,
    change.action,
    plan.changes,
    plan.baseRevision,
    change.action === "deploy" ? "" : plan.digest,
  ]);
  return emptyPlan({
    untouched: changes.filter((each) => each.action === "keep").map((each) => each.decky.name),
    risks: parts.flatMap((part) => part.plan.risks),
    digest: digestOf(agreed),
    text: parts.map(({ change, plan }) => `${describe(change)}\n${plan.text}`).join("\n") || "nothing to do",
    deckies: parts.map(({ change, plan }) => ({ name: change.decky.name, host: change.host, action: change.action, plan })),
  });
}

/**
 * What was asked for without a plan: which deckies, and what of them changes; what their containers see is planned by their
 * hosts.
 */
function summary(all: readonly DeckyChange[], catalog: Catalog): PlanRecord {
  const changes = all.filter((each) => each.action !== "keep");
  const parts = changes.slice(0, mostNamed).map((change) => ({
    name: change.decky.name,
    host: change.host,
    action: change.action,
    plan: emptyPlan({
      baseRevision: change.decky.desiredRevision,
      changes: changesOf(change, catalog),
      text: describe(change),
    }),
  }));
  const more = changes.length > mostNamed ? [`and ${changes.length - mostNamed} more`] : [];
  return emptyPlan({
    untouched: all
      .filter((each) => each.action === "keep")
      .slice(0, mostNamed)
      .map((each) => each.decky.name),
    text: [...parts.map((part) => part.plan.text), ...more].join("\n") || "nothing to do",
    deckies: parts,
  });
}

function describe({ action, host, decky }: DeckyChange): string {
  if (action === "move") return `move ${decky.name} from ${decky.host} to ${host}`;
  return `${action} ${decky.name}${host === "local" ? "" : ` on ${host}`}`;
}
