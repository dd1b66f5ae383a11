import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { WantedService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import {
  type GeneratorSettings as GeneratorMessage,
  Severity,
  type TopologyDesign,
  type TopologyIssue,
  type TopologySchema,
  TopologyState,
} from "@decnet/contract/gen/decnet/v1/topology_pb";
import { coerceConfig } from "@decnet/engine/catalog/coerce";
import { secretKeys } from "@decnet/engine/catalog/effective";
import type { Catalog } from "@decnet/engine/catalog/types";
import { findArchetype } from "@decnet/engine/tables/archetypes";
import { toEgressMessage } from "@decnet/engine/wire/egress";
import type { DesignInput } from "../decide/topology/read-design.ts";
import type { Issue } from "../decide/topology/validate.ts";
import type { StoredService } from "../model/decky.ts";
import { addService, findEntry } from "../model/services.ts";
import type { GeneratorSettings, TopologyState as StateWord, Topology, TopologyEvent } from "../model/topology.ts";
import type { ShownDecky } from "../store/deckies.ts";
import { plainConfig, toRotationMessage } from "./messages.ts";
import { invalid } from "./requests.ts";
import { parseRotation } from "./rotation-input.ts";

/** Topologies as messages and back. */

export const topologyStates = {
  pending: TopologyState.PENDING,
  deploying: TopologyState.DEPLOYING,
  active: TopologyState.ACTIVE,
  degraded: TopologyState.DEGRADED,
  failed: TopologyState.FAILED,
  tearing_down: TopologyState.TEARING_DOWN,
  torn_down: TopologyState.TORN_DOWN,
} as const satisfies Record<StateWord, TopologyState>;

export type TopologyMessage = MessageInitShape<typeof TopologySchema>;
type DeckyMessage = NonNullable<NonNullable<TopologyMessage["deckies"]>[number]["decky"]>;

export interface ShownTopology {
  readonly topology: Topology;
  readonly deckies: readonly ShownDecky[];
  readonly events: readonly TopologyEvent[];
}

/** A topology without its design, as in lists. */
export function toTopologyHead(topology: Topology) {
  const { id, name, host, publishOn, reason, version, stateChangedAt, createdAt } = topology;
  return {
    id,
    name,
    host,
    publishOn,
    state: topologyStates[topology.state],
    reason,
    version,
    stateChangedAt: timestampFromDate(stateChangedAt),
    createdAt: timestampFromDate(createdAt),
  };
}

export function toTopologyMessage(
  { topology, deckies, events }: ShownTopology,
  catalog: Catalog,
  toDecky: (shown: ShownDecky) => DeckyMessage,
): TopologyMessage {
  const { design, generatedFrom } = topology;
  const live = new Map(deckies.map((each) => [each.decky.id, each]));
  return {
    ...toTopologyHead(topology),
    lans: design.lans.map((lan) => ({ ...lan })),
    deckies: design.deckies.map(({ id, name, archetype, services, attachments, forwards, rotation, egress }) => {
      const shown = live.get(id);
      return {
        name,
        archetype,
        services: (shown?.services ?? services).map((service) => toWantedService(service, catalog)),
        attachments: attachments.map((each) => ({ ...each })),
        forwards,
        ...(rotation === undefined ? {} : { rotate: toRotationMessage(rotation) }),
        egress: toEgressMessage(egress),
        ...(shown === undefined ? {} : { decky: toDecky(shown) }),
      };
    }),
    events: events.map(({ fromState, toState, at, reason }) => ({
      from: topologyStates[fromState],
      to: topologyStates[toState],
      at: timestampFromDate(at),
      reason,
    })),
    ...(generatedFrom === null ? {} : { generatedFrom: toGeneratorMessage(generatedFrom) }),
  };
}

function toWantedService({ slug, config }: StoredService, catalog: Catalog) {
  const plain = plainConfig(config, secretKeys(catalog.services.get(slug)));
  return { slug, ...(Object.keys(plain).length === 0 ? {} : { config: plain }) };
}

function toGeneratorMessage(settings: GeneratorSettings) {
  const { deckiesPerLan, services, ...rest } = settings;
  const { least, most } = deckiesPerLan;
  return { ...rest, services: [...services], deckiesPerLanLeast: least, deckiesPerLanMost: most };
}

export function toIssueMessage(issue: Issue): Omit<TopologyIssue, "$typeName"> {
  return { ...issue, severity: issue.severity === "error" ? Severity.ERROR : Severity.WARNING };
}

/** Throws REQUEST_INVALID. */
export function parseGenerator(message: GeneratorMessage | undefined): GeneratorSettings {
  const probability = (value: number, field: string) => {
    if (!(value >= 0 && value <= 1)) throw invalid([{ field: `settings.${field}`, description: "is not from 0 to 1" }]);
    return value;
  };
  const least = message?.deckiesPerLanLeast ?? 0;
  const most = message?.deckiesPerLanMost || Math.max(3, least);
  if (least > most)
    throw invalid([{ field: "settings.deckies_per_lan_least", description: `is more than the most, which is ${most}` }]);
  if ((message?.deckies ?? 0) > 0 && (message?.deckies ?? 0) < (message?.lans ?? 0))
    throw invalid([{ field: "settings.deckies", description: "every LAN needs a decky" }]);
  return {
    seed: message?.seed ?? 0,
    depth: message?.depth || 2,
    branching: message?.branching || 2,
    lans: message?.lans ?? 0,
    deckiesPerLan: { least, most },
    deckies: message?.deckies ?? 0,
    forwardProbability: probability(message?.forwardProbability ?? 1, "forward_probability"),
    crossEdgeProbability: probability(message?.crossEdgeProbability ?? 0, "cross_edge_probability"),
    subnetBase: message?.subnetBase || "172.16.0.0/12",
    services: [...(message?.services ?? [])],
  };
}

export function parseDesign({ lans, deckies }: TopologyDesign, catalog: Catalog): DesignInput {
  return {
    lans: lans.map(({ name, subnet, isDmz }) => ({ name, subnet, isDmz })),
    deckies: deckies.map(({ name, archetype, services, attachments, forwards, rotate, egress }, index) => ({
      ...{ name, archetype, forwards, egress },
      rotation: parseRotation(rotate, `design.deckies[${index}].rotate`, catalog) ?? undefined,
      services: services.map(({ slug, config }) => ({ slug, config })),
      attachments: attachments.map(({ lan, ip, mac }) => ({ lan, ip, mac })),
    })),
  };
}

/** Services that are asked for, or those of the archetype. Throws what the catalog says against them. */
export function parseServices(
  wanted: readonly WantedService[],
  archetype: string,
  decky: string,
  catalog: Catalog,
): StoredService[] {
  const found = findArchetype(archetype);
  if (archetype !== "" && found === undefined) throw invalid([{ field: "archetype", description: "unknown archetype" }]);
  const asked = wanted.length > 0 ? wanted : (found?.services ?? []).map((slug) => ({ slug, config: undefined }));
  return asked.reduce<StoredService[]>((list, { slug, config }) => {
    const entry = findEntry(catalog, slug);
    return addService(list, entry, coerceConfig(entry, config), decky, catalog);
  }, []);
}
