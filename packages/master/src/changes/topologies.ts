import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { topologyProtocolVersion } from "@decnet/common/protocol-version";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Converger } from "../convergence/converger.ts";
import type { ImagePreparation } from "../convergence/image-preparation.ts";
import type { DeckyChange } from "../decide/decky-change.ts";
import { type PresentDeckies, topologyDifference, topologyTeardown } from "../decide/topology/difference.ts";
import { defaultSubnetBase, describeEdit, type Edit, editDesign } from "../decide/topology/edit.ts";
import { generateDesign } from "../decide/topology/generate.ts";
import { type Issue, isDeployable, type TakenSubnet, validateDesign } from "../decide/topology/validate.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { protocolOf } from "../model/host.ts";
import { makeOperation, type Operation, type OperationRecord, type PlanRecord } from "../model/operation.ts";
import { type Design, type GeneratorSettings, isLive, type Topology } from "../model/topology.ts";
import type { Tx } from "../store/database.ts";
import { violatedConstraint } from "../store/database-errors.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";
import { agreedParts, createDeckyPlans, digestOfDifference, hostedTargets, planOf, summary } from "./decky-plans.ts";
import { storeParts } from "./store-parts.ts";

/** What becomes of a whole topology. */
export type TopologyAct =
  | { readonly kind: "edit"; readonly edit: Edit }
  | { readonly kind: "deploy" }
  | { readonly kind: "resync" }
  | { readonly kind: "teardown" };

export interface TopologyRequest extends ChangeRequest {
  /** Id or name. */
  readonly topology: string;
  readonly expectedVersion: number | undefined;
  readonly act: TopologyAct;
}

export interface NewTopology {
  readonly name: string;
  readonly host: string;
  /** Empty: nothing is published. */
  readonly publishOn: string;
  /** How its design begins. */
  readonly from:
    | { readonly kind: "empty" }
    | { readonly kind: "dmz" }
    | { readonly kind: "seed"; readonly settings: GeneratorSettings };
}

export interface TopologyChanges {
  /** Throws TOPOLOGY_INVALID or HOST_NOT_FOUND. */
  create(wanted: NewTopology): Promise<Topology>;
  /** Throws TOPOLOGY_NOT_FOUND, TOPOLOGY_STATE, VERSION_CONFLICT, TOPOLOGY_UNDEPLOYABLE, or what the edit throws. */
  change(request: TopologyRequest): Promise<OperationRecord>;
  /** Throws TOPOLOGY_NOT_FOUND, or TOPOLOGY_STATE unless its deckies can be changed one by one. */
  requireLive(id: string): Promise<void>;
  /** What is wrong with a topology's design. */
  validate(idOrName: string): Promise<Issue[]>;
  /** Throws TOPOLOGY_STATE unless it is pending, torn down or failed with nothing left. */
  remove(idOrName: string, expectedVersion: number | undefined): Promise<void>;
}

export interface TopologyChangesOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: HostRegistry;
  readonly converger: Converger;
  readonly images: ImagePreparation;
  readonly catalog: Catalog;
}

interface PlannedTopology extends PlannedChange {
  readonly plan: PlanRecord;
  readonly differenceDigest: string;
}

/** What an act makes of a topology, before any host was asked. */
interface Outcome {
  readonly topology: Topology;
  readonly design: Design;
  readonly changes: readonly DeckyChange[];
}

const kinds = {
  edit: "edit_topology",
  deploy: "deploy_topology",
  resync: "resync_topology",
  teardown: "teardown_topology",
} as const;

export function createTopologyChanges(options: TopologyChangesOptions): TopologyChanges {
  const { store, door, hosts, converger, images, catalog } = options;
  const plans = createDeckyPlans(hosts, catalog);
  const random = () => randomInt(1 << 30) / (1 << 30);

  const takenSubnets = async (tx: Tx, besides: string): Promise<TakenSubnet[]> => {
    const others = (await store.topologies.inUse(tx)).filter(({ id }) => id !== besides);
    const fleet = await store.fleets.settings(tx);
    return [
      ...(fleet === undefined ? [] : [{ subnet: fleet.lan.subnet, holder: "the fleet's LAN" }]),
      ...others.flatMap(({ name, design }) => design.lans.map(({ subnet }) => ({ subnet, holder: `the topology ${name}` }))),
    ];
  };

  const issuesOf = async (tx: Tx, { id }: Topology, design: Design) =>
    validateDesign(design, { catalog, takenSubnets: await takenSubnets(tx, id) });

  const presentOf = async (tx: Tx, { id }: Topology): Promise<PresentDeckies> => {
    const deckies = await store.deckies.ofScope(tx, id);
    return { deckies, services: await store.deckies.desiredServices(tx, deckies) };
  };

  const outcomeOf = async (tx: Tx, topology: Topology, request: TopologyRequest): Promise<Outcome> => {
    const { act } = request;
    requireVersion(topology, request.expectedVersion);
    requireState(topology, act);
    if (act.kind === "teardown")
      return { topology, design: topology.design, changes: topologyTeardown(await presentOf(tx, topology)) };
    const design = act.kind === "edit" ? await edited(tx, topology, act.edit) : topology.design;
    if (act.kind === "edit" && topology.state === "pending") return { topology, design, changes: [] };
    refuseIssues(topology, await issuesOf(tx, topology, design));
    return { topology, design, changes: topologyDifference({ ...topology, design }, await presentOf(tx, topology), new Date()) };
  };

  const edited = async (tx: Tx, topology: Topology, edit: Edit): Promise<Design> => {
    const usedSubnets = (await takenSubnets(tx, topology.id)).map(({ subnet }) => subnet);
    const subnetBase = topology.generatedFrom?.subnetBase ?? defaultSubnetBase;
    return editDesign(topology, edit, { usedSubnets, subnetBase, makeId: randomUUID, random });
  };

  const operationOf = (request: TopologyRequest, topology: Topology, plan: PlanRecord): Operation =>
    makeOperation({ ...requested(request), kind: kinds[request.act.kind], scope: topology.id, host: topology.host, plan });

  const plan = async (request: TopologyRequest): Promise<PlannedTopology> => {
    const { topology, changes } = await store.transaction(async (tx) =>
      outcomeOf(tx, await store.topologies.find(request.topology, tx), request),
    );
    const made = told(planOf(changes, await plans.parts(changes)), request);
    return {
      plan: made,
      digest: made.digest,
      differenceDigest: await differenceOf(topology, changes),
      record: dryRunRecord(operationOf(request, topology, made)),
    };
  };

  const differenceOf = async ({ version, state }: Topology, changes: readonly DeckyChange[]) =>
    `${state} ${version} ${await digestOfDifference(changes, catalog)}`;

  const storeChange = (request: TopologyRequest, planned: PlannedTopology | undefined) =>
    store.transaction(async (tx) => {
      const topology = await store.topologies.lock(tx, request.topology);
      await store.deckies.lockScope(tx, topology.id);
      const { design, changes: all } = await outcomeOf(tx, topology, request);
      if (planned !== undefined && (await differenceOf(topology, all)) !== planned.differenceDigest)
        throw planMoved(`the topology ${topology.name}`, planned.digest);
      const changes = all.filter(({ action }) => action !== "keep");
      const now = new Date();
      const isOver = changes.length === 0;
      const end = isOver ? ({ state: "succeeded", finishedAt: now } as const) : ({ state: "running" } as const);
      const record = planned?.plan ?? told(summary(all, catalog), request);
      const parent = { ...operationOf(request, topology, record), startedAt: now, ...end };
      if (design !== topology.design) await store.topologies.redesign(tx, topology, design);
      const parts = await storeParts(tx, parent, agreedParts(changes, planned?.plan), { store, catalog });
      if (request.act.kind === "deploy") await store.topologies.step(tx, topology, "deploying", "");
      if (request.act.kind === "teardown" && topology.state !== "tearing_down")
        await store.topologies.step(tx, topology, topology.state === "pending" ? "torn_down" : "tearing_down", "");
      return { parent, parts, changes };
    });

  /** Throws HOST_NOT_FOUND or VERSION_SKEW. */
  const requireAbleHost = async (name: string): Promise<void> => {
    const host = name === "local" ? undefined : await store.hosts.find(name);
    if (host === undefined || protocolOf(host) >= topologyProtocolVersion) return;
    const actual = String(protocolOf(host));
    throw new AppError("VERSION_SKEW", `the agent of ${name} is too old for topologies: update it`, {
      metadata: { host: name, expected: String(topologyProtocolVersion), actual },
    });
  };

  const begin = async (wanted: NewTopology, tx: Tx): Promise<Design> => {
    const used = (await takenSubnets(tx, "")).map(({ subnet }) => subnet);
    if (wanted.from.kind === "empty") return { lans: [], deckies: [] };
    if (wanted.from.kind === "seed") {
      const offer = [...catalog.services.values()].filter(({ singleton }) => !singleton);
      const services = offer.map(({ slug, ports }) => ({ slug, ports: ports.map((port) => `${port.number}/${port.protocol}`) }));
      return generateDesign(wanted.from.settings, { usedSubnets: used, services, makeId: randomUUID });
    }
    const blank: Design = { lans: [], deckies: [] };
    const context = { usedSubnets: used, subnetBase: defaultSubnetBase, makeId: randomUUID, random };
    const withDmz = editDesign(
      { design: blank, state: "pending" },
      { kind: "add_lan", name: "dmz", subnet: "", isDmz: true },
      context,
    );
    const gateway = { kind: "add_decky", name: "gateway", archetype: "", services: [{ slug: "ssh", config: {} }] } as const;
    return editDesign(
      { design: withDmz, state: "pending" },
      { ...gateway, lans: [{ lan: "dmz", ip: "" }], forwards: true },
      context,
    );
  };

  return {
    async create(wanted) {
      await requireAbleHost(wanted.host);
      try {
        return await store.transaction(async (tx) => {
          await store.fleets.lockPlacement(tx);
          const now = new Date();
          const topology: Topology = {
            id: makeTopologyId(),
            name: wanted.name,
            host: wanted.host,
            publishOn: wanted.publishOn,
            state: "pending",
            reason: "",
            stateChangedAt: now,
            version: 1,
            design: await begin(wanted, tx),
            generatedFrom: wanted.from.kind === "seed" ? wanted.from.settings : null,
            createdAt: now,
          };
          await store.topologies.insert(tx, topology);
          return topology;
        });
      } catch (error) {
        if (violatedConstraint(error) !== "topologies_name") throw error;
        throw new AppError("TOPOLOGY_INVALID", `there is a topology ${wanted.name} already`, {
          violations: [{ field: "name", description: "is taken" }],
        });
      }
    },
    change: (request) =>
      door.accept<PlannedTopology>(request, {
        what: `the topology ${request.topology}`,
        plan: () => plan(request),
        hostsNeeded: async () => [(await store.topologies.find(request.topology)).host],
        async store(planned) {
          const { parent, parts, changes } = await storeChange(request, planned);
          store.events.wake();
          images.begin(parent.id, hostedTargets(changes));
          for (const part of parts) if (part.deckyId !== null) converger.wake(part.deckyId);
          return { row: parent, steps: [], children: parts.map(({ id }) => id) };
        },
      }),
    async requireLive(id) {
      const topology = await store.topologies.find(id);
      if (!isLive(topology)) throw wrongState(topology, "its deckies can be changed one by one while it is live");
    },
    validate: (idOrName) =>
      store.transaction(async (tx) => {
        const topology = await store.topologies.find(idOrName, tx);
        return issuesOf(tx, topology, topology.design);
      }),
    remove: (idOrName, expectedVersion) =>
      store.transaction(async (tx) => {
        const topology = await store.topologies.lock(tx, idOrName);
        requireVersion(topology, expectedVersion);
        const left = await store.deckies.ofScope(tx, topology.id);
        const isOver = topology.state === "pending" || topology.state === "torn_down" || topology.state === "failed";
        if (!isOver || left.length > 0)
          throw wrongState(topology, "it can be deleted only before it is deployed, or when it is torn down");
        await store.topologies.remove(tx, topology.id);
      }),
  };
}

/** So much of it is random that no two topologies of any installation meet on a host: their containers and networks begin with it. */
function makeTopologyId(): string {
  return `t${randomBytes(6).toString("hex")}`;
}

function told(plan: PlanRecord, { act }: TopologyRequest): PlanRecord {
  return act.kind === "edit" ? { ...plan, text: `${describeEdit(act.edit)}\n${plan.text}` } : plan;
}

function requireVersion({ name, version }: Topology, expected: number | undefined): void {
  if (expected === undefined || expected === version) return;
  throw new AppError("VERSION_CONFLICT", `the topology ${name} has version ${version}, not ${expected}`, {
    metadata: { topology: name, expected: String(expected), actual: String(version) },
  });
}

function requireState(topology: Topology, { kind }: TopologyAct): void {
  const { state } = topology;
  const live = isLive(topology);
  if (kind === "deploy" && state !== "pending")
    throw wrongState(topology, live ? "it is deployed already" : "only a pending one can be deployed");
  if (kind === "resync" && !live) throw wrongState(topology, "only a live one can be made what its design says");
  if (kind === "edit" && !live && state !== "pending")
    throw wrongState(topology, "it can be changed while it is pending or live");
  if (kind === "teardown" && state === "torn_down") throw wrongState(topology, "there is nothing left of it");
}

function wrongState({ name, state }: Topology, why: string): AppError {
  return new AppError("TOPOLOGY_STATE", `the topology ${name} is ${state.replace("_", " ")}: ${why}`, {
    metadata: { topology: name, state },
  });
}

function refuseIssues({ name }: Topology, issues: readonly Issue[]): void {
  if (isDeployable(issues)) return;
  const errors = issues.filter(({ severity }) => severity === "error");
  const shown = errors.slice(0, 50);
  throw new AppError(
    "TOPOLOGY_UNDEPLOYABLE",
    shown
      .map(({ code, message }) => `${code}: ${message}`)
      .join("; ")
      .slice(0, 4_000),
    {
      metadata: { topology: name },
      violations: shown.map(({ target, code, message, next }) => ({
        field: target,
        description: `${code}: ${message}; ${next}`,
      })),
    },
  );
}
