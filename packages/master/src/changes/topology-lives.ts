import { createHash, randomBytes, randomInt, randomUUID } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { topologyProtocolVersion } from "@decnet/common/protocol-version";
import type { Catalog } from "@decnet/engine/catalog/types";
import { heldThere } from "../decide/topology/allocate.ts";
import { defaultSubnetBase, editDesign } from "../decide/topology/edit.ts";
import { generateDesign } from "../decide/topology/generate.ts";
import { type DesignInput, readDesign } from "../decide/topology/read-design.ts";
import type { Issue, TakenSubnet } from "../decide/topology/validate.ts";
import { askSubnets } from "../links/ask-hosts.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { protocolOf } from "../model/host.ts";
import { emptyPlan, makeOperation, type Operation, type OperationRecord, type PlanRecord } from "../model/operation.ts";
import type { Design, GeneratorSettings, Topology } from "../model/topology.ts";
import type { Tx } from "../store/database.ts";
import { violatedConstraint } from "../store/database-errors.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";
import { requireVersion, wrongState } from "./topology-guards.ts";

export interface NewTopology extends ChangeRequest {
  readonly name: string;
  readonly host: string;
  /** Empty: nothing is published. */
  readonly publishOn: string;
  /** How its design begins. */
  readonly from:
    | { readonly kind: "empty" }
    | { readonly kind: "dmz" }
    | { readonly kind: "seed"; readonly settings: GeneratorSettings }
    | { readonly kind: "design"; readonly design: DesignInput };
}

export interface TopologyRemoval extends ChangeRequest {
  /** Id or name. */
  readonly topology: string;
  readonly expectedVersion: number | undefined;
}

/** How a topology begins, and how it is forgotten. Both are done as soon as they are stored. */
export interface TopologyLives {
  /** The scope of the operation is the topology's id. Throws TOPOLOGY_INVALID, HOST_NOT_FOUND or VERSION_SKEW. */
  create(wanted: NewTopology): Promise<OperationRecord>;
  /** Throws TOPOLOGY_STATE unless it is pending, torn down or failed with nothing left. */
  remove(request: TopologyRemoval): Promise<OperationRecord>;
}

export interface TopologyLivesOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: Pick<HostRegistry, "isMasters" | "isReachable" | "link">;
  readonly catalog: Catalog;
  readonly takenSubnets: (tx: Tx, besides: string) => Promise<TakenSubnet[]>;
}

interface PlannedLife extends PlannedChange {
  readonly plan: PlanRecord;
}

export function createTopologyLives({ store, door, hosts, catalog, takenSubnets }: TopologyLivesOptions): TopologyLives {
  /** Throws HOST_NOT_FOUND or VERSION_SKEW. */
  const requireAbleHost = async (name: string): Promise<void> => {
    const host = hosts.isMasters(name) ? undefined : await store.hosts.find(name);
    if (host === undefined || protocolOf(host) >= topologyProtocolVersion) return;
    const actual = String(protocolOf(host));
    throw new AppError("VERSION_SKEW", `the agent of ${name} is too old for topologies: update it`, {
      metadata: { host: name, expected: String(topologyProtocolVersion), actual },
    });
  };

  /** What the host says is taken there; it is asked before anything is locked. */
  const heldFor = async ({ host, from }: NewTopology): Promise<readonly TakenSubnet[]> =>
    from.kind === "empty" ? [] : heldThere(await askSubnets(hosts, host), "");

  const born = async (
    wanted: NewTopology,
    held: readonly TakenSubnet[],
    tx: Tx,
  ): Promise<{ topology: Topology; plan: PlanRecord }> => {
    const now = new Date();
    const { design, missing } = begin(wanted, [...(await takenSubnets(tx, "")), ...held], catalog);
    const { name, host, publishOn, from } = wanted;
    const topology: Topology = {
      ...{ id: makeTopologyId(), name, host, publishOn, state: "pending", reason: "", stateChangedAt: now, version: 1, design },
      generatedFrom: from.kind === "seed" ? from.settings : null,
      createdAt: now,
    };
    const size = `${design.lans.length} LANs and ${design.deckies.length} deckies`;
    const warnings = missing.map(({ code, message, next }) => `${code}: ${message}; ${next}`);
    return { topology, plan: planOf(`create the topology ${name} for ${host}, with ${size}; nothing is deployed yet`, warnings) };
  };

  const refuseTaken = (name: string, error: unknown): unknown =>
    violatedConstraint(error) === "topologies_name" ? nameTaken(name) : error;

  const requireFree = async (name: string): Promise<void> => {
    if ((await store.topologies.known([name])).some((each) => each.name === name)) throw nameTaken(name);
  };

  const removable = async (tx: Tx, topology: Topology, { expectedVersion }: TopologyRemoval): Promise<PlanRecord> => {
    requireVersion(topology, expectedVersion);
    const left = await store.deckies.ofScope(tx, topology.id);
    const isOver = topology.state === "pending" || topology.state === "torn_down" || topology.state === "failed";
    if (!isOver || left.length > 0)
      throw wrongState(topology, "it can be deleted only before it is deployed, or when it is torn down");
    return planOf(`forget the topology ${topology.name} and its design, version ${topology.version}`, []);
  };

  const planned = (request: ChangeRequest, about: Topology, kind: Operation["kind"], plan: PlanRecord): PlannedLife => {
    const row = operationOf(request, about, kind, plan);
    return { plan, digest: plan.digest, record: dryRunRecord(row) };
  };

  return {
    create(wanted) {
      return door.accept<PlannedLife>(wanted, {
        what: `the topology ${wanted.name}`,
        async plan() {
          await requireAbleHost(wanted.host);
          await requireFree(wanted.name);
          const held = await heldFor(wanted);
          const { topology, plan } = await store.transaction((tx) => born(wanted, held, tx));
          return planned(wanted, topology, "create_topology", plan);
        },
        hostsNeeded: async () => [wanted.host],
        async store(agreed) {
          await requireAbleHost(wanted.host);
          const held = await heldFor(wanted);
          try {
            return await store.transaction(async (tx) => {
              await store.fleets.lockPlacement(tx);
              const { topology, plan } = await born(wanted, held, tx);
              if (agreed !== undefined && agreed.digest !== plan.digest)
                throw planMoved(`the topology ${wanted.name}`, agreed.digest);
              const row = operationOf(wanted, topology, "create_topology", plan);
              // First: of two calls with one request id the second is told of the first, not of a name that is taken.
              await store.operations.insert(tx, [row]);
              await store.topologies.insert(tx, topology);
              return { row, steps: [], children: [] };
            });
          } catch (error) {
            throw refuseTaken(wanted.name, error);
          }
        },
      });
    },
    remove: (request) =>
      door.accept<PlannedLife>(request, {
        what: `the topology ${request.topology}`,
        plan: () =>
          store.transaction(async (tx) => {
            const topology = await store.topologies.find(request.topology, tx);
            return planned(request, topology, "delete_topology", await removable(tx, topology, request));
          }),
        hostsNeeded: async () => [],
        store: (agreed) =>
          store.transaction(async (tx) => {
            const topology = await store.topologies.lock(tx, request.topology);
            const plan = await removable(tx, topology, request);
            if (agreed !== undefined && agreed.digest !== plan.digest)
              throw planMoved(`the topology ${topology.name}`, agreed.digest);
            const row = operationOf(request, topology, "delete_topology", plan);
            await store.operations.insert(tx, [row]);
            await store.topologies.remove(tx, topology.id);
            return { row, steps: [], children: [] };
          }),
      }),
  };
}

/** How a design begins, and what it still misses. */
function begin(
  { from }: NewTopology,
  taken: readonly TakenSubnet[],
  catalog: Catalog,
): { design: Design; missing: readonly Issue[] } {
  const random = () => randomInt(1 << 30) / (1 << 30);
  const used = taken.map(({ subnet }) => subnet);
  const context = { usedSubnets: used, subnetBase: defaultSubnetBase, makeId: randomUUID, random };
  switch (from.kind) {
    case "empty":
      return { design: { lans: [], deckies: [] }, missing: [] };
    case "dmz":
      return { design: blankWithDmz(context), missing: [] };
    case "seed": {
      const offer = [...catalog.services.values()].filter(({ singleton }) => !singleton);
      const services = offer.map(({ slug, ports }) => ({
        slug,
        ports: ports.map((port) => `${port.number}/${port.protocol}`),
      }));
      return { design: generateDesign(from.settings, { usedSubnets: used, services, makeId: randomUUID }), missing: [] };
    }
    case "design":
      return readDesign(from.design, { ...context, catalog, takenSubnets: taken });
    default:
      return from satisfies never;
  }
}

function operationOf(request: ChangeRequest, { id, host }: Topology, kind: Operation["kind"], plan: PlanRecord): Operation {
  const now = new Date();
  const end = { state: "succeeded", createdAt: now, startedAt: now, finishedAt: now } as const;
  return makeOperation({ ...requested(request), ...end, kind, scope: id, host, plan });
}

function planOf(text: string, warnings: readonly string[]): PlanRecord {
  const digest = createHash("sha256")
    .update(JSON.stringify([text, warnings]))
    .digest("hex")
    .slice(0, 16);
  return emptyPlan({ text, digest, ...(warnings.length === 0 ? {} : { warnings }) });
}

function blankWithDmz(context: Parameters<typeof editDesign>[2]): Design {
  const blank: Design = { lans: [], deckies: [] };
  const dmz = { kind: "add_lan", name: "dmz", subnet: "", isDmz: true } as const;
  const withDmz = editDesign({ design: blank, state: "pending" }, dmz, context);
  const gateway = { kind: "add_decky", name: "gateway", archetype: "", services: [{ slug: "ssh", config: {} }] } as const;
  const placed = { ...gateway, lans: [{ lan: "dmz", ip: "" }], forwards: true } as const;
  return editDesign({ design: withDmz, state: "pending" }, placed, context);
}

function nameTaken(name: string): AppError {
  return new AppError("TOPOLOGY_INVALID", `there is a topology ${name} already`, {
    violations: [{ field: "name", description: "is taken" }],
  });
}

/** Containers and networks begin with it: so much is random that no two topologies of any installation meet on a host. */
function makeTopologyId(): string {
  return `t${randomBytes(6).toString("hex")}`;
}
