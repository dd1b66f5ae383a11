import { randomInt, randomUUID } from "node:crypto";
import { inSlices, turn } from "@decnet/common/runtime/slices";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Converger } from "../convergence/converger.ts";
import type { ImagePreparation } from "../convergence/image-preparation.ts";
import { type DeckyChange, hostsNeededBy } from "../decide/decky-change.ts";
import type { ExpandedFleet } from "../decide/expand-fleet.ts";
import { fleetDifference, type PresentFleet } from "../decide/fleet-difference.ts";
import { takesPlace } from "../decide/lan-on-hosts.ts";
import { firstDelayMs } from "../decide/rotation.ts";
import { askHosts } from "../links/ask-hosts.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky, FleetSettings, StoredService } from "../model/decky.ts";
import type { LanOnHosts } from "../model/lan.ts";
import { makeOperation, type Operation, type OperationRecord, type PlanRecord, withWarnings } from "../model/operation.ts";
import type { RotationSetting } from "../model/rotation.ts";
import type { Tx } from "../store/database.ts";
import type { WantedRotation } from "../store/rotations.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";
import { agreedParts, createDeckyPlans, digestOfDifference, hostedTargets, planOf, summary } from "./decky-plans.ts";
import { storeParts } from "./store-parts.ts";

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
  readonly deckies: readonly {
    readonly decky: Decky;
    readonly services: readonly StoredService[];
    readonly rotation?: RotationSetting | undefined;
  }[];
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
  /** Keyed hash. */
  readonly fingerprint: (text: string) => string;
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

export function createFleetChanges(options: FleetChangesOptions): FleetChanges {
  const { store, door, hosts, converger, images, catalog, onSettings, fingerprint } = options;
  const digest = (services: readonly StoredService[]) => fingerprint(`rotation ${JSON.stringify(services)}`);
  const random = () => randomInt(1 << 30) / (1 << 30);
  const plans = createDeckyPlans(hosts, catalog);
  /** A large fleet takes a while to read. */
  const read = async (tx: Tx): Promise<PresentFleet> => {
    const deckies = await store.deckies.ofScope(tx, "fleet");
    return {
      deckies,
      services: await store.deckies.desiredServices(tx, deckies),
      startDigests: await store.rotations.startDigests(tx, "fleet"),
      hosts: [
        ...hosts.masters.map((name) => ({ name, labels: {}, draining: false, isMasters: true })),
        ...(await store.hosts.list(tx)),
      ].map((host) => ({ ...host, isReachable: hosts.isReachable(host.name) })),
      own: hosts.own,
    };
  };

  const difference = (present: PresentFleet, fleet: ExpandedFleet | undefined): Promise<DeckyChange[]> => {
    return inSlices(fleetDifference(present, fleet, { catalog, now: new Date(), makeId: randomUUID, random, digest }));
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
    const parts = await plans.parts(changes);
    await turn();
    const record = planOf(changes, parts);
    await turn();
    return {
      plan: record,
      lans,
      digest: record.digest,
      differenceDigest: await digestOfDifference(changes, catalog),
      record: dryRunRecord(operationOf(request, record)),
    };
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
      const parts = await storeParts(tx, parent, agreedParts(changes, planned?.plan), { store, catalog });
      await store.rotations.replace(tx, "fleet", rotationsOf(all, request.fleet, { digest, random }));
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
        const rotations = await store.rotations.of(deckies.map(({ id }) => id));
        const toWanted = (decky: Decky) => ({
          decky,
          services: services.get(decky.id) ?? [],
          rotation: rotations.get(decky.id)?.setting,
        });
        return { settings, deckies: deckies.map(toWanted) };
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
          converger.wakeAll(parts);
          return { row: parent, steps: [], children: parts.map(({ id }) => id) };
        },
      }),
  };
}

/** Which deckies rotate from now on. */
function rotationsOf(
  changes: readonly DeckyChange[],
  fleet: ExpandedFleet | undefined,
  { digest, random }: { readonly digest: (services: readonly StoredService[]) => string; readonly random: () => number },
): WantedRotation[] {
  const wanted = new Map(
    (fleet?.deckies ?? []).flatMap((each) => (each.rotation === undefined ? [] : [[each.name, each] as const])),
  );
  return changes.flatMap(({ action, decky }) => {
    const found = action === "teardown" ? undefined : wanted.get(decky.name);
    if (found?.rotation === undefined) return [];
    const delayMs = firstDelayMs(found.rotation.everySeconds, random);
    return [{ deckyId: decky.id, setting: found.rotation, startDigest: digest(found.services), firstDelayMs: delayMs }];
  });
}
