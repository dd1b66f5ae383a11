import { isIPv4 } from "node:net";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { FieldViolation } from "@decnet/common/errors/app-error";
import type { OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import {
  AddDeckyRequestSchema,
  AddLanRequestSchema,
  AttachDeckyRequestSchema,
  type CreateTopologyRequest,
  CreateTopologyRequestSchema,
  DeleteTopologyRequestSchema,
  DeployTopologyRequestSchema,
  DetachDeckyRequestSchema,
  GenerateTopologyRequestSchema,
  RemoveDeckyRequestSchema,
  RemoveLanRequestSchema,
  ResyncTopologyRequestSchema,
  TeardownTopologyRequestSchema,
  type TopologyService,
  UpdateDeckyRequestSchema,
  UpdateLanRequestSchema,
  type WantedAttachment,
} from "@decnet/contract/gen/decnet/v1/topology_pb";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { EgressRule } from "@decnet/engine/policy/egress";
import { type EgressInput, readEgress } from "@decnet/engine/wire/egress";
import type { TopologyAct } from "../changes/topologies.ts";
import type { NewTopology } from "../changes/topology-lives.ts";
import type { Edit, WantedPlace } from "../decide/topology/edit.ts";
import { macPattern, memberPattern } from "../decide/topology/read-design.ts";
import type { Topology } from "../model/topology.ts";
import { stateNow } from "../topologies/keep-states.ts";
import { awaitOperation } from "./await-operation.ts";
import { createDeckyMessages } from "./decky-messages.ts";
import { parseFilter, topologyFilter } from "./filters.ts";
import { hashRequest } from "./mutating-request.ts";
import { createPageTokens } from "./page-tokens.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseOptions, waits } from "./requests.ts";
import { parseRotation } from "./rotation-input.ts";
import {
  parseDesign,
  parseGenerator,
  parseServices,
  type TopologyMessage,
  toIssueMessage,
  toTopologyHead,
  toTopologyMessage,
} from "./topology-messages.ts";

interface TopologyCall {
  readonly topology: string;
  readonly expectedVersion?: number | undefined;
  readonly options?: Parameters<typeof parseOptions>[0];
}

const namePattern = /^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/;
/** What would be taken for the fleet, or for the id of another topology. */
const reservedPattern = /^(fleet|t[0-9a-f]{12})$/;

export function createTopologyHandlers(parts: MasterParts): ServiceImpl<typeof TopologyService> {
  const { store, catalog, topologies } = parts;
  const toDecky = createDeckyMessages(parts);

  const show = async (idOrName: string) => {
    const topology = await store.topologies.find(idOrName);
    const [deckies, events] = await Promise.all([store.deckies.showScope(topology.id), store.topologies.events(topology.id)]);
    return toTopologyMessage({ topology: await asNow(topology), deckies, events }, catalog, toDecky);
  };

  /** What is stored of its state follows a moment after the operation that ends. */
  const asNow = async (topology: Topology): Promise<Topology> => {
    if (["pending", "failed", "torn_down"].includes(topology.state)) return topology;
    const [standing] = await store.topologies.standings(topology.id);
    if (standing !== undefined) return { ...topology, ...stateNow(standing) };
    // It came to its end between the two looks, or was deleted.
    const isThere = (await store.topologies.known([topology.id])).length > 0;
    return isThere ? store.topologies.find(topology.id) : topology;
  };

  const settle = async (idOrName: string): Promise<void> => {
    for (const { id } of await store.topologies.known([idOrName])) await parts.topologyStates.settle(id);
  };

  const callOf = <Desc extends DescMessage>(
    schema: Desc,
    request: MessageShape<Desc> & Pick<TopologyCall, "options">,
    context: HandlerContext,
  ) => ({
    actor: callerOf(context).name,
    options: parseOptions(request.options),
    requestHash: hashRequest(parts, schema, request),
  });

  /** The topology of an earlier call with the same request id may be gone by now. */
  const created = async <Desc extends DescMessage>(
    wanted: Pick<NewTopology, "name" | "host" | "publishOn" | "from">,
    schema: Desc,
    request: MessageShape<Desc> & Pick<TopologyCall, "options">,
    context: HandlerContext,
  ) => {
    const record = await topologies.create({ ...wanted, ...callOf(schema, request, context) });
    const operation = await awaitOperation(record, false, parts, context);
    const isThere = record.row.id !== "" && (await store.topologies.known([record.row.scope])).length > 0;
    return isThere ? { topology: await show(record.row.scope), operation } : { operation };
  };

  const change = async <Desc extends DescMessage>(
    act: TopologyAct,
    schema: Desc,
    request: MessageShape<Desc> & TopologyCall,
    context: HandlerContext,
  ) => {
    await settle(required(request.topology));
    const record = await topologies.change({
      topology: request.topology,
      expectedVersion: request.expectedVersion,
      act,
      ...callOf(schema, request, context),
    });
    try {
      const operation = await awaitOperation(record, waits(request.options), parts, context);
      return { operation, topology: await show(request.topology) };
    } finally {
      if (record.row.id !== "") await parts.topologyStates.settle(record.row.scope);
    }
  };

  const edit = <Desc extends DescMessage>(
    what: Edit,
    schema: Desc,
    request: MessageShape<Desc> & TopologyCall,
    context: HandlerContext,
  ) => change({ kind: "edit", edit: what }, schema, request, context);

  return {
    async createTopology(request, context) {
      const { withDmz, design } = request;
      if (withDmz && design !== undefined) throw invalid([{ field: "with_dmz", description: "is for one without a design" }]);
      const kind = withDmz ? "dmz" : "empty";
      const from =
        design === undefined ? ({ kind } as const) : ({ kind: "design", design: parseDesign(design, catalog) } as const);
      return created({ ...placeOf(request, parts), from }, CreateTopologyRequestSchema, request, context);
    },
    async generateTopology(request, context) {
      const settings = parseGenerator(request.settings);
      for (const slug of settings.services) parseServices([{ $typeName: "decnet.v1.WantedService", slug }], "", "", catalog);
      const from = { kind: "seed", settings } as const;
      return created({ ...placeOf(request, parts), from }, GenerateTopologyRequestSchema, request, context);
    },
    getTopology: async (request) => ({ topology: await show(required(request.topology)) }),
    async listTopologies(request) {
      const terms = parseFilter(request.filter, topologyFilter);
      const pages = createPageTokens(parts.fingerprint, "topologies", terms);
      const { rows, counts, next } = await store.topologies.list({ terms, page: pages.parse(request, 100) });
      const heads = (await Promise.all(rows.map(asNow))).map(toTopologyHead);
      return { topologies: heads, counts, nextPageToken: pages.make(next) };
    },
    ...editHandlers(edit, catalog),
    async validateTopology(request) {
      const issues = await topologies.validate(required(request.topology));
      return { valid: issues.every(({ severity }) => severity !== "error"), issues: issues.map(toIssueMessage) };
    },
    deployTopology: (request, context) => change({ kind: "deploy" }, DeployTopologyRequestSchema, request, context),
    teardownTopology: (request, context) => change({ kind: "teardown" }, TeardownTopologyRequestSchema, request, context),
    async deleteTopology(request, context) {
      const { topology, expectedVersion } = request;
      await settle(required(topology));
      const record = await topologies.remove({
        topology,
        expectedVersion,
        ...callOf(DeleteTopologyRequestSchema, request, context),
      });
      return { operation: await awaitOperation(record, false, parts, context) };
    },
    resyncTopology: (request, context) => change({ kind: "resync" }, ResyncTopologyRequestSchema, request, context),
  };
}

type OperationInit = MessageInitShape<typeof OperationSchema>;

type EditCall = <Desc extends DescMessage>(
  what: Edit,
  schema: Desc,
  request: MessageShape<Desc> & TopologyCall,
  context: HandlerContext,
) => Promise<{ operation: OperationInit; topology: TopologyMessage }>;

/** The calls that change a design, deployed or not. */
function editHandlers(edit: EditCall, catalog: Catalog) {
  return {
    addLan: (request, context) => {
      const { subnet, isDmz } = request;
      return edit({ kind: "add_lan", name: memberName(request.name), subnet, isDmz }, AddLanRequestSchema, request, context);
    },
    updateLan: (request, context) => {
      const { name, subnet, isDmz } = request;
      const newName = request.newName === undefined ? undefined : memberName(request.newName);
      return edit({ kind: "update_lan", name, newName, subnet, isDmz }, UpdateLanRequestSchema, request, context);
    },
    removeLan: (request, context) => edit({ kind: "remove_lan", name: request.name }, RemoveLanRequestSchema, request, context),
    addDecky: (request, context) => {
      const { archetype, forwards } = request;
      const name = memberName(request.name);
      const services = parseServices(request.services, archetype, name, catalog);
      const lans = request.attachments.map(toPlace);
      const rotation = parseRotation(request.rotate, "rotate", catalog) ?? undefined;
      const egress = parseEgress(request.egress, "egress");
      const added = { kind: "add_decky", name, archetype, services, lans, forwards, rotation, egress } as const;
      return edit(added, AddDeckyRequestSchema, request, context);
    },
    updateDecky: (request, context) => {
      const { name, archetype, forwards } = request;
      const wanted = request.services?.services;
      const services = wanted === undefined ? undefined : parseServices(wanted, archetype ?? "", name, catalog);
      const rotation = parseRotation(request.rotate, "rotate", catalog);
      const egress = request.egress === undefined ? undefined : parseEgress(request.egress.rules, "egress.rules");
      const changed = { kind: "update_decky", name, archetype, services, forwards, rotation, egress } as const;
      return edit(changed, UpdateDeckyRequestSchema, request, context);
    },
    removeDecky: (request, context) =>
      edit({ kind: "remove_decky", name: request.name }, RemoveDeckyRequestSchema, request, context),
    attachDecky: (request, context) => {
      const place = toPlace(request.attachment);
      return edit({ kind: "attach_decky", name: request.name, place }, AttachDeckyRequestSchema, request, context);
    },
    detachDecky: (request, context) =>
      edit({ kind: "detach_decky", name: request.name, lan: request.lan }, DetachDeckyRequestSchema, request, context),
  } satisfies Partial<ServiceImpl<typeof TopologyService>>;
}

/** Throws REQUEST_INVALID. */
function parseEgress(rules: readonly EgressInput[], at: string): EgressRule[] {
  const problems: FieldViolation[] = [];
  const read = readEgress(rules, at, (field, description) => void problems.push({ field, description }));
  if (problems.length > 0) throw invalid(problems);
  return read;
}

function placeOf(
  { name, host, publishOn }: Pick<CreateTopologyRequest, "name" | "host" | "publishOn">,
  { hosts }: Pick<MasterParts, "hosts">,
) {
  if (publishOn !== "" && !isIPv4(publishOn)) throw invalid([{ field: "publish_on", description: "is not an IPv4 address" }]);
  return { name: topologyName(name), host: host || hosts.own, publishOn };
}

function required(topology: string): string {
  if (topology === "" || topology.length > 64)
    throw invalid([{ field: "topology", description: "is the id or the name of one" }]);
  return topology;
}

function topologyName(name: string): string {
  if (!namePattern.test(name))
    throw invalid([{ field: "name", description: "lower-case letters, digits and inner hyphens, 1 to 64 characters" }]);
  if (reservedPattern.test(name)) throw invalid([{ field: "name", description: `${name} names something else` }]);
  return name;
}

/** Shorter than a decky's of the fleet: the names of containers and networks hold the topology's id as well. */
function memberName(name: string): string {
  if (!memberPattern.test(name))
    throw invalid([{ field: "name", description: "lower-case letters, digits and inner hyphens, 1 to 32 characters" }]);
  return name;
}

function toPlace(attachment: WantedAttachment | undefined): WantedPlace {
  if (attachment === undefined || attachment.lan === "") throw invalid([{ field: "attachment.lan", description: "is needed" }]);
  const { lan, ip } = attachment;
  const mac = attachment.mac.toLowerCase();
  if (ip.length > 15) throw invalid([{ field: "attachment.ip", description: "is not an IPv4 address" }]);
  if (mac !== "" && !macPattern.test(mac))
    throw invalid([{ field: "attachment.mac", description: "is not the MAC address of one interface" }]);
  return { lan, ip, mac };
}
