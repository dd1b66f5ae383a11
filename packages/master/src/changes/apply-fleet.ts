import { randomInt, randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { secretKeys } from "@decnet/engine/catalogue/effective";
import type { Catalogue } from "@decnet/engine/catalogue/types";
import { digestOf, formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import { findDistro } from "@decnet/engine/tables/distros";
import { makeHostname } from "@decnet/engine/tables/hostnames";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { Converger } from "../convergence/converger.ts";
import { makeFreeMac } from "../decide/addresses.ts";
import type { ExpandedFleet, WantedDecky } from "../decide/expand-fleet.ts";
import { type PlaceableHost, type Placement, placeDecky } from "../decide/placement.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Identity, StoredService } from "../model/decky.ts";
import { stateFact } from "../model/events.ts";
import { type PlanRecord, toPlanRecord } from "../model/operation.ts";
import { diffServices, sameServices } from "../model/services.ts";
import type { Database, Tx } from "../store/database.ts";
import { type DeckyStore, toTarget } from "../store/deckies.ts";
import type { HostStore } from "../store/hosts.ts";
import type { OperationRecord, OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";
import { Deckies, type DeckyRow, Fleets, type OperationRow } from "../store/tables.ts";
import { insertRows } from "../store/write.ts";
import { type DeckyChange, moveTo, storeDeckyChanges } from "./decky-changes.ts";
import type { MutationOptions } from "./mutate.ts";

export interface FleetRequest {
  readonly actor: string;
  readonly options: MutationOptions;
  readonly requestHash: string;
  /** Undefined: tear the whole fleet down. */
  readonly fleet: ExpandedFleet | undefined;
}

export interface FleetChanges {
  apply(request: FleetRequest): Promise<OperationRecord>;
}

export interface FleetChangesOptions {
  readonly database: Database;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly hosts: HostRegistry;
  readonly hostStore: HostStore;
  readonly converger: Converger;
  readonly catalogue: Catalogue;
}

/** Applies a whole fleet: one operation for the request, one part for each decky that differs. */
export function createFleetChanges({
  database,
  deckies,
  operations,
  events,
  hosts,
  hostStore,
  converger,
  catalogue,
}: FleetChangesOptions): FleetChanges {
  const difference = async (tx: Tx, fleet: ExpandedFleet | undefined): Promise<DeckyChange[]> => {
    const placeable: PlaceableHost[] = (await hostStore.list(tx)).map(({ name, labels, draining }) => ({
      name,
      labels,
      draining,
      isReachable: hosts.isReachable(name),
    }));
    const rows = await tx.getRepository(Deckies).find({ where: { scope: "fleet" }, order: { name: "ASC" } });
    const current = await deckies.desiredServices(tx, rows);
    if (fleet !== undefined) refuseOtherLan(rows, fleet);
    const wantedNames = new Set(fleet?.deckies.map((decky) => decky.name));
    const leaving = rows.filter((row) => !wantedNames.has(row.name) && !row.leaving);
    // A decky that goes has its address until it is gone.
    const used = new Set([...rows.map((row) => row.ip), ...(fleet?.deckies.flatMap((d) => d.ip ?? []) ?? [])]);
    if (fleet !== undefined) refuseTakenAddresses(rows, fleet);
    const free = fleet === undefined ? noAddresses : freeAddresses(fleet, used);
    const macs = new Set(rows.map((row) => row.mac));
    const byName = new Map(rows.map((row) => [row.name, row]));
    const load = new Map<string, number>();
    const count = (host: string) => load.set(host, (load.get(host) ?? 0) + 1);
    for (const row of rows) if (wantedNames.has(row.name)) count(row.host);
    const wanted = (fleet?.deckies ?? []).map((decky) => {
      const row = byName.get(decky.name);
      if (row?.leaving) throw new AppError("DECKY_LEAVING", `${row.name} is being torn down`, { metadata: { decky: row.name } });
      const placement: Placement = decky.placement ??
        (row === undefined ? fleet?.defaultPlacement : undefined) ?? { kind: "host", name: row?.host ?? "local" };
      const host = placeDecky(placement, row?.host, placeable, load);
      if (host !== row?.host) count(host);
      return row === undefined
        ? deploy(decky, host, fleet as ExpandedFleet, free, macs)
        : change(row, host, current.get(row.id) ?? [], decky);
    });
    return [
      ...leaving.map((decky) => ({
        action: "teardown" as const,
        decky,
        before: current.get(decky.id) ?? [],
        services: current.get(decky.id) ?? [],
      })),
      ...wanted,
    ];
  };

  const deploy = (
    wanted: WantedDecky,
    host: string,
    fleet: ExpandedFleet,
    free: Iterator<string>,
    macs: Set<string>,
  ): DeckyChange => {
    const distro = findDistro(wanted.distro);
    if (distro === undefined) throw new Error(`no distro ${wanted.distro}`);
    const ip = wanted.ip ?? nextAddress(fleet, free);
    const identity: Identity = {
      hostname: wanted.hostname ?? makeHostname(distro.hostnameStyle, () => randomInt(1 << 30) / (1 << 30)),
      distro: distro.slug,
      osFamily: wanted.osFamily,
      archetype: wanted.archetype,
      baseImage: distro.image,
      buildBase: distro.buildBase,
    };
    const decky: DeckyRow = {
      id: randomUUID(),
      scope: "fleet",
      name: wanted.name,
      host,
      lan: fleet.lan,
      lanName: fleet.lan.name,
      ip,
      mac: makeFreeMac(macs, () => randomInt(1 << 24)),
      identity,
      desiredRevision: 1,
      appliedRevision: 0,
      renderedRevision: 0,
      leaving: false,
      hold: false,
      leavingHosts: [],
      lastHost: null,
      state: "pending",
      message: "",
      observed: null,
      observedAt: null,
      lastOperation: null,
      failures: 0,
      retryAt: null,
      createdAt: new Date(),
    };
    return { action: "deploy", decky, before: [], services: wanted.services };
  };

  const change = (row: DeckyRow, host: string, before: readonly StoredService[], wanted: WantedDecky): DeckyChange => {
    const services = wanted.services.map((service) =>
      keepSecrets(
        service,
        before.find((other) => other.slug === service.slug),
      ),
    );
    const distro = findDistro(wanted.distro);
    const identity: Identity = {
      ...row.identity,
      hostname: wanted.hostname ?? row.identity.hostname,
      osFamily: wanted.osFamily,
      archetype: wanted.archetype,
      distro: wanted.distro,
      baseImage: distro?.image ?? row.identity.baseImage,
      buildBase: distro?.buildBase ?? row.identity.buildBase,
    };
    const isMove = host !== row.host;
    const decky = { ...(isMove ? moveTo(row, host) : row), identity, ip: wanted.ip ?? row.ip };
    const needsBase =
      decky.ip !== row.ip ||
      identity.hostname !== row.identity.hostname ||
      identity.osFamily !== row.identity.osFamily ||
      identity.baseImage !== row.identity.baseImage;
    const action = isMove ? "move" : needsBase ? "redeploy" : sameServices(before, services) ? "keep" : "change";
    return { action, decky, before, services };
  };

  /** Files seldom hold secrets: one that is not named is kept, as in every other change. */
  const keepSecrets = (wanted: StoredService, before: StoredService | undefined): StoredService => {
    const secrets = secretKeys(catalogue.services.get(wanted.slug));
    const kept = Object.entries(before?.config ?? {}).filter(([key]) => secrets.has(key));
    return { slug: wanted.slug, config: { ...Object.fromEntries(kept), ...wanted.config } };
  };

  const planOf = async (changes: readonly DeckyChange[]): Promise<PlanRecord> => {
    const parts: { name: string; host: string; action: string; plan: PlanRecord; from: string }[] = [];
    for (const { action, decky, before, services } of changes) {
      if (action === "keep") continue;
      const revision = action === "deploy" ? 1 : decky.desiredRevision + 1;
      const target = toTarget(decky, services, revision, action === "teardown");
      const plan = await planThere(decky.host, target);
      const record = toPlanRecord(
        plan ?? emptyPlan,
        plan === undefined ? `  its host is away: what has to be done there is known when it is back` : formatPlan(plan),
        decky.desiredRevision,
        diffServices(before, action === "teardown" ? [] : services, catalogue),
      );
      parts.push({
        name: decky.name,
        host: decky.host,
        action,
        plan: record,
        from: action === "move" ? (decky.leavingHosts.at(-1) ?? "") : "",
      });
    }
    return {
      steps: [],
      untouched: changes.filter((each) => each.action === "keep").map((each) => each.decky.name),
      risks: parts.flatMap((part) => part.plan.risks),
      baseRevision: 0,
      // Made-up identities of new deckies differ from plan to plan and are no part of what was agreed to.
      digest: digestOf(parts.map((part) => [part.name, part.host, part.action, part.plan.changes, part.plan.baseRevision])),
      text: parts.map(describePart).join("\n") || "nothing to do",
      changes: [],
      deckies: parts,
    };
  };

  /** Undefined when the host is away, or turns out to be. */
  const planThere = async (host: string, target: HostTarget): Promise<PlanView | undefined> => {
    try {
      return hosts.isReachable(host) ? await hosts.link(host).plan(target) : undefined;
    } catch (error) {
      if (error instanceof AppError && error.reason === "HOST_UNREACHABLE" && host !== "local") return undefined;
      throw error;
    }
  };

  /** For callers that do not want to wait: every host that has to do something is there. */
  const refuseAwayHosts = (changes: readonly DeckyChange[], { options, fleet }: FleetRequest) => {
    if (options.whenAway !== "refuse") return;
    for (const { decky } of changes) {
      hosts.link(decky.host);
      if (fleet?.movePolicy === "remove_first") for (const host of decky.leavingHosts) hosts.link(host);
    }
  };

  const refuseOtherPlan = ({ options }: FleetRequest, actual: string) => {
    if (options.expectedPlan !== "" && options.expectedPlan !== actual)
      throw new AppError("PLAN_CHANGED", "the plan for the fleet is another one now", {
        metadata: { expected: options.expectedPlan, actual },
      });
  };

  const newOperation = (request: FleetRequest): OperationRow =>
    operations.make({
      kind: request.fleet === undefined ? "teardown_fleet" : "apply_fleet",
      actor: request.actor,
      reason: request.options.reason,
      requestId: request.options.requestId === "" ? null : request.options.requestId,
      requestHash: request.requestHash,
      onFailure: request.options.onFailure,
      whenAway: request.options.whenAway,
    });

  const store = async (
    tx: Tx,
    request: FleetRequest,
    plan: PlanRecord | null,
  ): Promise<{ parent: OperationRow; children: OperationRow[] }> => {
    await tx.query("SELECT pg_advisory_xact_lock(7233003)");
    await tx.query("SELECT id FROM deckies WHERE scope = 'fleet' ORDER BY id FOR NO KEY UPDATE");
    const changes = (await difference(tx, request.fleet)).filter((each) => each.action !== "keep");
    refuseAwayHosts(changes, request);
    if (request.fleet !== undefined) {
      const fleet = {
        id: 1,
        lan: request.fleet.lan,
        driftPolicy: request.fleet.driftPolicy,
        movePolicy: request.fleet.movePolicy,
        updatedAt: new Date(),
      };
      await tx.query("DELETE FROM fleet");
      await insertRows(tx, Fleets, [fleet]);
    }
    const made = newOperation(request);
    const parent: OperationRow = {
      ...made,
      plan,
      startedAt: new Date(),
      ...(changes.length === 0 ? { state: "succeeded", finishedAt: new Date() } : { state: "running" }),
    };
    await operations.insert(tx, parent);
    const children = await storeDeckyChanges(tx, parent, changes, { deckies, operations, catalogue });
    const facts = changes.flatMap(({ action, decky }) => (action === "deploy" ? [] : stateFact(decky, "changing", "")));
    await events.append(tx, facts);
    return { parent, children };
  };

  return {
    async apply(request) {
      const { options } = request;
      if (options.requestId !== "") {
        const earlier = await database.read((tx) => operations.findByRequest(tx, request.actor, options.requestId));
        if (earlier !== undefined && earlier.requestHash === request.requestHash) return operations.get(earlier.id);
        if (earlier !== undefined)
          throw new AppError("REQUEST_ID_REUSED", `the request id ${options.requestId} was used for another request`, {
            metadata: { operation: earlier.id },
          });
      }
      const plan =
        options.dryRun || options.expectedPlan !== ""
          ? await planOf(await database.read((tx) => difference(tx, request.fleet)))
          : null;
      if (plan !== null) refuseOtherPlan(request, plan.digest);
      if (options.dryRun) return { row: { ...newOperation(request), id: "", plan }, steps: [], children: [] };
      const { parent, children } = await database.transaction((tx) => store(tx, request, plan));
      events.wake();
      for (const child of children) if (child.deckyId !== null) converger.wake(child.deckyId, child.host);
      return { row: parent, steps: [], children: children.map((child) => child.id) };
    },
  };
}

const emptyPlan: PlanView = { steps: [], untouched: [], risks: [], digest: "" };

function describePart(part: { name: string; host: string; action: string; plan: PlanRecord; from: string }): string {
  const where =
    part.host === "local" && part.from === "" ? "" : part.from === "" ? ` on ${part.host}` : ` from ${part.from} to ${part.host}`;
  return `${part.action} ${part.name}${where}\n${part.plan.text}`;
}

/** The fleet's LAN holds the addresses of all deckies: it changes only while there are none. */
function refuseOtherLan(rows: readonly DeckyRow[], fleet: ExpandedFleet): void {
  const here = rows[0]?.lan;
  if (here === undefined) return;
  const same =
    here.name === fleet.lan.name &&
    here.driver === fleet.lan.driver &&
    here.subnet === fleet.lan.subnet &&
    here.gateway === fleet.lan.gateway &&
    (here.parent ?? "") === (fleet.lan.parent ?? "");
  if (!same)
    throw new AppError(
      "FLEET_INVALID",
      `fleet.lan: deckies live on ${here.name} (${here.driver}, ${here.subnet}); tear the fleet down before you change its LAN`,
      {
        violations: [{ field: "fleet.lan", description: "cannot change while deckies use it" }],
      },
    );
}

/** An address that is asked for by name must be free now, or be the decky's own. */
function refuseTakenAddresses(rows: readonly DeckyRow[], fleet: ExpandedFleet): void {
  const holders = new Map(rows.map((row) => [row.ip, row.name]));
  const violations = fleet.deckies.flatMap(({ name, ip }) => {
    const holder = ip === undefined ? undefined : holders.get(ip);
    const description = `${name} wants ${ip}, which ${holder} has until it is gone`;
    return holder === undefined || holder === name ? [] : [{ field: "fleet.deckies", description }];
  });
  if (violations.length > 0)
    throw new AppError(
      "FLEET_INVALID",
      `${violations.map(({ description }) => description).join("; ")}; apply the fleet without the new one first`,
      { violations },
    );
}

const noAddresses: Iterator<string> = [].values();

/** Addresses of the LAN that nobody has, in ascending order. */
function* freeAddresses(fleet: ExpandedFleet, used: ReadonlySet<string>): Generator<string> {
  for (const address of fleet.subnet.hosts(fleet.ipStart)) if (address !== fleet.lan.gateway && !used.has(address)) yield address;
}

function nextAddress(fleet: ExpandedFleet, free: Iterator<string>): string {
  const { value, done } = free.next();
  if (done !== true) return value;
  throw new AppError("FLEET_INVALID", `fleet.lan.subnet: ${fleet.lan.subnet} has no free address left`, {
    violations: [{ field: "fleet.lan.subnet", description: "is full" }],
  });
}
