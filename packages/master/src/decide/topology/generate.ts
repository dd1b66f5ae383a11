import type { StoredService } from "../../model/decky.ts";
import type { Design, GeneratorSettings, TopologyAttachment, TopologyDecky, TopologyLan } from "../../model/topology.ts";
import { makeFreeMac } from "../addresses.ts";
import { freeAddresses, freeSubnets, takeSubnet } from "./allocate.ts";

export interface GeneratorContext {
  /** Subnets that no LAN may overlap. */
  readonly usedSubnets: readonly string[];
  /** Services to draw from: slugs with the ports that two of them cannot share. */
  readonly services: readonly { readonly slug: string; readonly ports: readonly string[] }[];
  readonly makeId: () => string;
}

interface Node {
  readonly lan: TopologyLan;
  readonly parent: number | undefined;
}

/**
 * Draws a topology: a tree of LANs behind a DMZ with one decky. Of each other LAN one decky is on the LAN before it as well.
 * Pure: the same settings and context make the same design, on every machine. Throws TOPOLOGY_INVALID when the subnets run out.
 */
export function generateDesign(settings: GeneratorSettings, context: GeneratorContext): Design {
  const random = seeded(settings.seed);
  const nodes = drawLans(settings, context.usedSubnets, random);
  const counts = drawCounts(settings, nodes.length, random);
  const free = nodes.map(({ lan }) => freeAddresses(lan, new Set()));
  const macs = new Set<string>();
  const attach = (index: number): TopologyAttachment => ({
    lan: nodes[index]?.lan.name ?? "",
    ip: String(free[index]?.next().value ?? ""),
    mac: makeFreeMac(macs, () => Math.floor(random() * (1 << 24))),
  });
  const deckies: TopologyDecky[] = [];
  for (const [index, { parent }] of nodes.entries()) {
    const count = counts[index] ?? 1;
    const bridge = Math.floor(random() * count);
    for (let at = 0; at < count; at += 1) {
      const isBridge = parent !== undefined && at === bridge;
      const ways = isBridge ? [parent, ...drawCrossEdge(settings, nodes, index, random)] : [];
      const isGateway = parent === undefined && at === 0;
      deckies.push({
        id: context.makeId(),
        name: `decky-${String(deckies.length + 1).padStart(3, "0")}`,
        archetype: "",
        services: drawServices(settings, context, random),
        attachments: [index, ...ways].map(attach),
        forwards: isGateway || (isBridge && random() < settings.forwardProbability),
      });
    }
  }
  return { lans: nodes.map(({ lan }) => lan), deckies };
}

/** Breadth first, so that a tree of a given number of LANs has its levels filled from above. */
function drawLans(settings: GeneratorSettings, usedSubnets: readonly string[], random: () => number): Node[] {
  const subnets = freeSubnets(settings.subnetBase, usedSubnets);
  const nodes: (Node & { readonly level: number })[] = [];
  const most = settings.lans || Number.POSITIVE_INFINITY;
  const add = (parent: number | undefined, level: number) => {
    const subnet = takeSubnet(subnets, settings.subnetBase);
    const isDmz = parent === undefined;
    nodes.push({ lan: { name: isDmz ? "dmz" : `lan-${String(nodes.length).padStart(2, "0")}`, subnet, isDmz }, parent, level });
  };
  add(undefined, 0);
  for (let at = 0; at < nodes.length && nodes.length < most; at += 1) {
    const level = nodes[at]?.level ?? 0;
    // A number of LANs that was asked for is reached, however deep it takes.
    if (settings.lans === 0 && level >= settings.depth) continue;
    const children = 1 + Math.floor(random() * settings.branching);
    for (let child = 0; child < children && nodes.length < most; child += 1) add(at, level + 1);
  }
  return nodes;
}

/** Deckies of each LAN: one in the DMZ, at least one in every other. */
function drawCounts({ deckiesPerLan, deckies }: GeneratorSettings, lans: number, random: () => number): number[] {
  const { least, most } = deckiesPerLan;
  const counts = Array.from({ length: lans }, (_, index) =>
    index === 0 ? 1 : Math.max(1, least + Math.floor(random() * (most - least + 1))),
  );
  if (deckies === 0) return counts;
  const wanted = Math.max(deckies, lans);
  const even = Array.from({ length: lans }, () => 1);
  const inner = Math.max(1, lans - 1);
  for (let left = wanted - lans, at = 0; left > 0; left -= 1, at += 1) {
    const index = lans === 1 ? 0 : 1 + (at % inner);
    even[index] = (even[index] ?? 0) + 1;
  }
  return even;
}

/** A LAN that is neither the one itself nor its parent, nor its child. */
function drawCrossEdge(settings: GeneratorSettings, nodes: readonly Node[], index: number, random: () => number): number[] {
  if (random() >= settings.crossEdgeProbability) return [];
  const parent = nodes[index]?.parent;
  const others = nodes.flatMap((node, at) => (at !== index && at !== parent && node.parent !== index ? [at] : []));
  const chosen = others[Math.floor(random() * others.length)];
  return chosen === undefined ? [] : [chosen];
}

/** One to three services that can live on one machine. */
function drawServices(
  { services: wanted }: GeneratorSettings,
  { services: offer }: GeneratorContext,
  random: () => number,
): StoredService[] {
  if (wanted.length > 0) return wanted.map((slug) => ({ slug, config: {} }));
  const count = 1 + Math.floor(random() * 3);
  const left = [...offer].sort((one, other) => (one.slug < other.slug ? -1 : 1));
  const chosen: StoredService[] = [];
  const ports = new Set<string>();
  while (chosen.length < count && left.length > 0) {
    const [service] = left.splice(Math.floor(random() * left.length), 1);
    if (service === undefined || service.ports.some((port) => ports.has(port))) continue;
    for (const port of service.ports) ports.add(port);
    chosen.push({ slug: service.slug, config: {} });
  }
  return chosen;
}

/** Numbers in [0, 1) from integer arithmetic alone, so that no engine of JavaScript makes others. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
