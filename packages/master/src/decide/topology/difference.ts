import { AppError } from "@decnet/common/errors/app-error";
import { topologyNetwork } from "@decnet/engine/render/names";
import type { AttachmentSpec, LanSpec } from "@decnet/engine/spec";
import { findArchetype } from "@decnet/engine/tables/archetypes";
import { findDistro } from "@decnet/engine/tables/distros";
import {
  type Decky,
  type Identity,
  isSameMachine,
  isStuckLeaving,
  needsBase,
  newDecky,
  type StoredService,
} from "../../model/decky.ts";
import type { Topology, TopologyDecky, TopologyLan } from "../../model/topology.ts";
import { parseSubnet } from "../addresses.ts";
import type { DeckyChange } from "../decky-change.ts";
import { unchanged } from "../fleet-difference.ts";
import { createRouting, type Routing } from "./routes.ts";

/** A topology's deckies as they are stored. */
export interface PresentDeckies {
  readonly deckies: readonly Decky[];
  /** Services of the desired revisions, by decky id. */
  readonly services: ReadonlyMap<string, readonly StoredService[]>;
}

/**
 * What has to become of each decky so that the topology is as designed. The services of one that is there are its own matter.
 * Pure. Throws DECKY_LEAVING for a designed one that is being torn down, unless that is left as it is.
 */
export function topologyDifference(
  topology: Pick<Topology, "id" | "host" | "publishOn" | "design">,
  { deckies, services }: PresentDeckies,
  now: Date,
  whenLeaving: "refuse" | "leave" = "refuse",
): DeckyChange[] {
  const { design } = topology;
  const lans = new Map(design.lans.map((lan) => [lan.name, toLanSpec(topology.id, lan)]));
  const routing = createRouting(design);
  const wanted = new Set(design.deckies.map(({ id }) => id));
  const present = new Map(deckies.map((decky) => [decky.id, decky]));
  const leaving = deckies.filter((decky) => !wanted.has(decky.id) && (!decky.leaving || isStuckLeaving(decky)));
  return [
    ...leaving.map((decky) => unchanged(decky, "teardown", services.get(decky.id) ?? [])),
    ...design.deckies.map((each) =>
      changeOf(each, present.get(each.id), { topology, lans, routing, services, now, whenLeaving }),
    ),
  ];
}

/** Every decky goes. */
export function topologyTeardown({ deckies, services }: PresentDeckies): DeckyChange[] {
  return deckies
    .filter((decky) => !decky.leaving || isStuckLeaving(decky))
    .map((decky) => unchanged(decky, "teardown", services.get(decky.id) ?? []));
}

interface DifferenceOf {
  readonly topology: Pick<Topology, "id" | "host" | "publishOn" | "design">;
  readonly lans: ReadonlyMap<string, LanSpec>;
  readonly routing: Routing;
  readonly services: PresentDeckies["services"];
  readonly now: Date;
  readonly whenLeaving: "refuse" | "leave";
}

function changeOf(wanted: TopologyDecky, decky: Decky | undefined, around: DifferenceOf): DeckyChange {
  const { topology, lans, routing, services, now, whenLeaving } = around;
  const identity = identityOf(wanted, topology, routing);
  const [home, ...others] = wanted.attachments.flatMap(({ lan, ip, mac }): AttachmentSpec[] => {
    const spec = lans.get(lan);
    return spec === undefined ? [] : [{ lan: spec, ip, mac }];
  });
  if (home === undefined) throw new Error(`${wanted.name} has no place in its topology`);
  const attachments = [home, ...others] as const;
  if (decky === undefined) {
    const { id, name } = wanted;
    const made = newDecky({ id, scope: topology.id, name, host: topology.host, attachments, identity, createdAt: now });
    return { action: "deploy", decky: made, host: topology.host, identity, attachments, before: [], services: wanted.services };
  }
  const own = services.get(decky.id) ?? [];
  if (decky.leaving && whenLeaving === "leave") return unchanged(decky, "keep", own);
  if (decky.leaving && !isStuckLeaving(decky))
    throw new AppError("DECKY_LEAVING", `${decky.name} is being torn down`, { metadata: { decky: decky.name } });
  if (isSameMachine({ identity, attachments }, decky) && !decky.leaving) return unchanged(decky, "keep", own);
  const action = needsBase({ identity, attachments }, decky) ? "redeploy" : "change";
  return { action, decky, host: decky.host, identity, attachments, before: own, services: own };
}

/** Every decky of a topology calls itself by its own name. */
function identityOf(
  { name, archetype, forwards, attachments, egress = [] }: TopologyDecky,
  { publishOn, design }: Pick<Topology, "publishOn" | "design">,
  routing: Routing,
): Identity {
  const routes = routing.routesOf({ attachments });
  const isInDmz = design.lans.some((lan) => lan.isDmz && lan.name === attachments[0]?.lan);
  const distro = findDistro("debian");
  if (distro === undefined) throw new Error("no distro debian");
  return {
    hostname: name,
    distro: distro.slug,
    osFamily: findArchetype(archetype)?.osFamily ?? "linux",
    archetype,
    baseImage: distro.image,
    buildBase: distro.buildBase,
    ...(forwards ? { forwards } : {}),
    ...(routes.length > 0 ? { routes } : {}),
    ...(egress.length > 0 ? { egress } : {}),
    ...(forwards && isInDmz && publishOn !== "" ? { publishOn } : {}),
  };
}

/** A LAN as its host makes it: a bridge, cut off unless it is the DMZ. */
export function toLanSpec(topologyId: string, { name, subnet, isDmz }: TopologyLan): LanSpec {
  return {
    name: topologyNetwork(topologyId, name),
    driver: "bridge",
    subnet,
    gateway: parseSubnet(subnet)?.firstHost ?? "",
    parent: undefined,
    ...(isDmz ? {} : { internal: true }),
  };
}
