import { randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Converger } from "../convergence/converger.ts";
import { presentOf, random, rotationsOf, takenHere } from "../convergence/designed.ts";
import type { ImagePreparation } from "../convergence/image-preparation.ts";
import type { DeckyChange } from "../decide/decky-change.ts";
import { heldThere, refuseTaken } from "../decide/topology/allocate.ts";
import { topologyDifference, topologyTeardown } from "../decide/topology/difference.ts";
import { defaultSubnetBase, describeEdit, type Edit, editDesign, wantedSubnet } from "../decide/topology/edit.ts";
import { traceEdit } from "../decide/topology/take-back.ts";
import { type Issue, isDeployable, type TakenSubnet, validateDesign } from "../decide/topology/validate.ts";
import { askSubnets } from "../links/ask-hosts.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { makeOperation, type Operation, type OperationRecord, type PlanRecord } from "../model/operation.ts";
import { type Design, isLive, type Topology } from "../model/topology.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import type { TopologyStates } from "../topologies/keep-states.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";
import { agreedParts, createDeckyPlans, digestOfDifference, hostedTargets, planOf, summary } from "./decky-plans.ts";
import { storeParts } from "./store-parts.ts";
import { requireTakingHost, requireVersion, wrongState } from "./topology-guards.ts";
import { createTopologyLives, type TopologyLives } from "./topology-lives.ts";

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

export interface TopologyChanges extends TopologyLives {
  /** Throws TOPOLOGY_NOT_FOUND, TOPOLOGY_STATE, VERSION_CONFLICT, TOPOLOGY_UNDEPLOYABLE, or what the edit throws. */
  change(request: TopologyRequest): Promise<OperationRecord>;
  /** Throws TOPOLOGY_NOT_FOUND, or TOPOLOGY_STATE unless its deckies can be changed one by one. */
  requireLive(id: string): Promise<void>;
  /** What is wrong with a topology's design. */
  validate(idOrName: string): Promise<Issue[]>;
}

export interface TopologyChangesOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: HostRegistry;
  readonly converger: Converger;
  readonly images: ImagePreparation;
  readonly catalog: Catalog;
  readonly states: Pick<TopologyStates, "settle">;
}

interface PlannedTopology extends PlannedChange {
  readonly plan: PlanRecord;
  readonly held: readonly TakenSubnet[];
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
  const { store, door, hosts, converger, images, catalog, states } = options;
  const plans = createDeckyPlans(hosts, catalog);
  /** What the topology's host says is taken there, where it matters; it is asked before anything is locked. */
  const heldNow = async ({ topology, act }: TopologyRequest): Promise<readonly TakenSubnet[]> => {
    if (!takesNetworks(act)) return [];
    const { id, host } = await store.topologies.find(topology);
    return heldThere(await askSubnets(hosts, host), id);
  };

  const takenSubnets = (tx: Tx, besides: string) => takenHere(tx, besides, store);

  const issuesOf = async (tx: Tx, { id }: Topology, design: Design, held: readonly TakenSubnet[]) =>
    validateDesign(design, { catalog, takenSubnets: [...(await takenSubnets(tx, id)), ...held] });

  const outcomeOf = async (
    tx: Tx,
    topology: Topology,
    request: TopologyRequest,
    held: readonly TakenSubnet[],
  ): Promise<Outcome> => {
    const { act } = request;
    requireVersion(topology, request.expectedVersion);
    requireState(topology, act);
    if (act.kind === "teardown")
      return { topology, design: topology.design, changes: topologyTeardown(await presentOf(tx, topology, store)) };
    const design = act.kind === "edit" ? await edited(tx, topology, act.edit, held) : topology.design;
    if (act.kind === "edit" && topology.state === "pending") return { topology, design, changes: [] };
    const issues = await issuesOf(tx, topology, design, held);
    // A LAN comes before the decky that leads to it: once deployed, one that nothing leads to yet is no fault.
    refuseIssues(topology, act.kind === "deploy" ? issues : issues.filter(({ code }) => code !== "DMZ_ORPHAN"));
    const changes = topologyDifference({ ...topology, design }, await presentOf(tx, topology, store), new Date());
    await requireTakingHost(tx, topology, changes, { store, hosts });
    return { topology, design, changes };
  };

  const edited = async (tx: Tx, topology: Topology, edit: Edit, held: readonly TakenSubnet[]): Promise<Design> => {
    const taken = [...(await takenSubnets(tx, topology.id)), ...held];
    refuseTaken(wantedSubnet(edit), taken);
    const usedSubnets = taken.map(({ subnet }) => subnet);
    const subnetBase = topology.generatedFrom?.subnetBase ?? defaultSubnetBase;
    return editDesign(topology, edit, { usedSubnets, subnetBase, makeId: randomUUID, random });
  };

  const operationOf = (request: TopologyRequest, topology: Topology, plan: PlanRecord): Operation =>
    makeOperation({ ...requested(request), kind: kinds[request.act.kind], scope: topology.id, host: topology.host, plan });

  const plan = async (request: TopologyRequest): Promise<PlannedTopology> => {
    const held = await heldNow(request);
    const { topology, changes } = await store.transaction(async (tx) =>
      outcomeOf(tx, await store.topologies.find(request.topology, tx), request, held),
    );
    const made = told(planOf(changes, await plans.parts(changes)), request);
    return {
      plan: made,
      held,
      digest: made.digest,
      differenceDigest: await differenceOf(topology, changes, catalog),
      record: dryRunRecord(operationOf(request, topology, made)),
    };
  };

  const storeChange = async (request: TopologyRequest, planned: PlannedTopology | undefined) => {
    const held = planned?.held ?? (await heldNow(request));
    return store.transaction(async (tx) => {
      const topology = await store.topologies.lock(tx, request.topology);
      await store.deckies.lockScope(tx, topology.id);
      const { design, changes: all } = await outcomeOf(tx, topology, request, held);
      if (planned !== undefined && (await differenceOf(topology, all, catalog)) !== planned.differenceDigest)
        throw planMoved(`the topology ${topology.name}`, planned.digest);
      const changes = all.filter(({ action }) => action !== "keep");
      const now = new Date();
      const isOver = changes.length === 0;
      const end = isOver ? ({ state: "succeeded", finishedAt: now } as const) : ({ state: "running" } as const);
      const record = planned?.plan ?? told(summary(all, catalog), request);
      const parent = { ...operationOf(request, topology, record), startedAt: now, ...end };
      if (design !== topology.design) await store.topologies.redesign(tx, topology, design, parent);
      const parts = await storeParts(tx, parent, agreedParts(changes, planned?.plan), { store, catalog });
      if (!isOver && design !== topology.design)
        await store.topologyEdits.note(tx, parent.id, traceEdit(topology.design, design));
      await store.rotations.replace(tx, topology.id, request.act.kind === "teardown" ? [] : rotationsOf(design));
      if (request.act.kind === "deploy") await store.topologies.step(tx, topology, "deploying", "");
      if (request.act.kind === "teardown" && topology.state !== "tearing_down")
        await store.topologies.step(tx, topology, topology.state === "pending" ? "torn_down" : "tearing_down", "");
      return { parent, parts, changes };
    });
  };

  return {
    ...createTopologyLives({ store, door, hosts, catalog, takenSubnets }),
    change: (request) =>
      door.accept<PlannedTopology>(request, {
        what: `the topology ${request.topology}`,
        plan: () => plan(request),
        hostsNeeded: async () => [(await store.topologies.find(request.topology)).host],
        async store(planned) {
          const { parent, parts, changes } = await storeChange(request, planned);
          store.events.wake();
          images.begin(parent.id, hostedTargets(changes));
          converger.wakeAll(parts);
          return { row: parent, steps: [], children: parts.map(({ id }) => id) };
        },
      }),
    async requireLive(id) {
      if (isLive(await store.topologies.briefly(id))) return;
      // What is stored follows a moment after the deploy that ended, and whoever saw it end may be here sooner.
      await states.settle(id);
      const topology = await store.topologies.briefly(id);
      if (!isLive(topology)) throw wrongState(topology, "its deckies can be changed one by one while it is live");
    },
    async validate(idOrName) {
      const { id, host } = await store.topologies.find(idOrName);
      const held = heldThere(await askSubnets(hosts, host), id);
      return store.transaction(async (tx) => {
        const topology = await store.topologies.find(id, tx);
        return issuesOf(tx, topology, topology.design, held);
      });
    },
  };
}

/** Whether a live one is well or not says nothing about what was agreed to. */
async function differenceOf(topology: Topology, changes: readonly DeckyChange[], catalog: Catalog): Promise<string> {
  return `${isLive(topology) ? "live" : topology.state} ${topology.version} ${await digestOfDifference(changes, catalog)}`;
}

/** Whether an act makes networks that are not on the host yet. */
function takesNetworks(act: TopologyAct): boolean {
  if (act.kind === "edit") return act.edit.kind === "add_lan" || act.edit.kind === "update_lan";
  return act.kind === "deploy";
}

function told(plan: PlanRecord, { act }: TopologyRequest): PlanRecord {
  return act.kind === "edit" ? { ...plan, text: `${describeEdit(act.edit)}\n${plan.text}` } : plan;
}

/** Throws TOPOLOGY_STATE. */
export function requireState(topology: Topology, { kind }: Pick<TopologyAct, "kind">): void {
  const { state } = topology;
  const live = isLive(topology);
  if (kind === "deploy" && state !== "pending")
    throw wrongState(topology, live ? "it is deployed already" : "only a pending one can be deployed");
  if (kind === "resync" && !live) throw wrongState(topology, "only a live one can be made what its design says");
  if (kind === "edit" && !live && state !== "pending")
    throw wrongState(topology, "it can be changed while it is pending or live");
  if (kind === "teardown" && state === "torn_down") throw wrongState(topology, "there is nothing left of it");
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
