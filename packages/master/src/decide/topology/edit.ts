import { AppError } from "@decnet/common/errors/app-error";
import type { EgressRule } from "@decnet/engine/policy/egress";
import type { StoredService } from "../../model/decky.ts";
import type { RotationSetting } from "../../model/rotation.ts";
import type { Design, Topology, TopologyAttachment, TopologyDecky, TopologyLan } from "../../model/topology.ts";
import { makeFreeMac } from "../addresses.ts";
import { nextAddress, nextSubnet } from "./allocate.ts";

/** One change of a design, as it is asked for. Empty texts are chosen for the caller. */
export type Edit =
  | { readonly kind: "add_lan"; readonly name: string; readonly subnet: string; readonly isDmz: boolean }
  | {
      readonly kind: "update_lan";
      readonly name: string;
      readonly newName: string | undefined;
      readonly subnet: string | undefined;
      readonly isDmz: boolean | undefined;
    }
  | { readonly kind: "remove_lan"; readonly name: string }
  | {
      readonly kind: "add_decky";
      readonly name: string;
      readonly archetype: string;
      readonly services: readonly StoredService[];
      readonly lans: readonly WantedPlace[];
      readonly forwards: boolean;
      readonly rotation?: RotationSetting | undefined;
      readonly egress?: readonly EgressRule[];
    }
  | {
      readonly kind: "update_decky";
      readonly name: string;
      readonly archetype: string | undefined;
      /** Only before it is deployed: then its services are changed one by one. */
      readonly services: readonly StoredService[] | undefined;
      readonly forwards: boolean | undefined;
      /** Null: its services stay as they are. */
      readonly rotation?: RotationSetting | null | undefined;
      readonly egress?: readonly EgressRule[] | undefined;
    }
  | { readonly kind: "remove_decky"; readonly name: string }
  | { readonly kind: "attach_decky"; readonly name: string; readonly place: WantedPlace }
  | { readonly kind: "detach_decky"; readonly name: string; readonly lan: string };

export interface WantedPlace {
  readonly lan: string;
  /** Empty: the next free one. */
  readonly ip: string;
  /** Empty: one is made. */
  readonly mac?: string;
}

export interface EditContext {
  /** Subnets that a new LAN may not overlap. */
  readonly usedSubnets: readonly string[];
  readonly subnetBase: string;
  readonly makeId: () => string;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Where LANs without a subnet of their own are taken from. */
export const defaultSubnetBase = "10.0.0.0/8";

/**
 * The design after an edit. Pure. What a live topology cannot change is refused here. Throws TOPOLOGY_INVALID, LAN_NOT_FOUND,
 * DECKY_NOT_FOUND or TOPOLOGY_STATE.
 */
export function editDesign(topology: Pick<Topology, "design" | "state">, edit: Edit, context: EditContext): Design {
  const { design, state } = topology;
  const isPending = state === "pending";
  switch (edit.kind) {
    case "add_lan": {
      if (design.lans.some(({ name }) => name === edit.name)) throw taken("LAN", edit.name);
      const subnet =
        edit.subnet || nextSubnet(context.subnetBase, [...context.usedSubnets, ...design.lans.map((lan) => lan.subnet)]);
      return { ...design, lans: [...design.lans, { name: edit.name, subnet, isDmz: edit.isDmz }] };
    }
    case "update_lan":
      return updateLan(design, edit, isPending);
    case "remove_lan": {
      const lan = lanOf(design, edit.name);
      const homeless = design.deckies.filter(({ attachments }) => attachments[0]?.lan === lan.name);
      if (homeless.length > 0)
        throw invalid(
          "lan",
          `${lan.name} is the home of ${homeless
            .map(({ name }) => name)
            .slice(0, 8)
            .join(", ")}`,
        );
      const deckies = design.deckies.map((decky) => without(decky, lan.name));
      return { lans: design.lans.filter(({ name }) => name !== lan.name), deckies };
    }
    case "add_decky": {
      if (design.deckies.some(({ name }) => name === edit.name)) throw taken("decky", edit.name);
      if (edit.lans.length === 0) throw invalid("lans", `${edit.name} needs a LAN to be at home on`);
      const { name, archetype, services, forwards, rotation, egress = [] } = edit;
      const bare: TopologyDecky = {
        ...{ id: context.makeId(), name, archetype, services, forwards, attachments: [] },
        ...(rotation === undefined ? {} : { rotation }),
        ...(egress.length === 0 ? {} : { egress }),
      };
      const decky = edit.lans.reduce((each, place) => attached(each, place, design, context), bare);
      return { ...design, deckies: [...design.deckies, decky] };
    }
    case "update_decky": {
      if (!isPending && edit.services !== undefined)
        throw invalid("services", `${edit.name} is deployed: change its services one by one`);
      const decky = deckyOf(design, edit.name);
      const { rotation: turned, egress: allowed = [], ...others } = decky;
      const { archetype = decky.archetype, services = decky.services, forwards = decky.forwards, egress = allowed } = edit;
      const rotation = (edit.rotation === undefined ? turned : edit.rotation) ?? undefined;
      return replaced(design, {
        ...{ ...others, archetype, services, forwards },
        ...(rotation === undefined ? {} : { rotation }),
        ...(egress.length === 0 ? {} : { egress }),
      });
    }
    case "remove_decky": {
      const decky = deckyOf(design, edit.name);
      return { ...design, deckies: design.deckies.filter(({ id }) => id !== decky.id) };
    }
    case "attach_decky": {
      const decky = deckyOf(design, edit.name);
      return replaced(design, attached(decky, edit.place, design, context));
    }
    case "detach_decky": {
      const decky = deckyOf(design, edit.name);
      lanOf(design, edit.lan);
      const at = decky.attachments.findIndex(({ lan }) => lan === edit.lan);
      if (at < 0) throw invalid("lan", `${decky.name} is not on ${edit.lan}`);
      if (at === 0) throw invalid("lan", `${edit.lan} is the home of ${decky.name}: remove the decky, or leave it there`);
      return replaced(design, without(decky, edit.lan));
    }
    default:
      return edit satisfies never;
  }
}

function updateLan(design: Design, edit: Extract<Edit, { kind: "update_lan" }>, isPending: boolean): Design {
  const lan = lanOf(design, edit.name);
  const { newName = lan.name, subnet = lan.subnet, isDmz = lan.isDmz } = edit;
  const fixed = [
    ...(newName !== lan.name ? ["name"] : []),
    ...(subnet !== lan.subnet ? ["subnet"] : []),
    ...(isDmz !== lan.isDmz ? ["is_dmz"] : []),
  ];
  if (!isPending && fixed.length > 0)
    throw invalid(fixed[0] ?? "lan", `the ${fixed.join(" and the ")} of ${lan.name} cannot change while the topology is live`);
  if (newName !== lan.name && design.lans.some(({ name }) => name === newName)) throw taken("LAN", newName);
  const lans = design.lans.map((each) => (each === lan ? { name: newName, subnet, isDmz } : each));
  const deckies = design.deckies.map((decky) => ({
    ...decky,
    attachments: decky.attachments.map((each) => (each.lan === lan.name ? { ...each, lan: newName } : each)),
  }));
  if (subnet === lan.subnet) return { lans, deckies };
  return renumbered({ lans, deckies }, { name: newName, subnet, isDmz });
}

/** A LAN got another network: whoever is on it gets new addresses there, in the order of names. */
function renumbered(design: Design, lan: TopologyLan): Design {
  const used = new Set<string>();
  const addresses = new Map(
    [...design.deckies]
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .filter(({ attachments }) => attachments.some((each) => each.lan === lan.name))
      .map(({ id }) => {
        const ip = nextAddress({ lans: [], deckies: [] }, lan, used);
        used.add(ip);
        return [id, ip] as const;
      }),
  );
  const moved = (decky: TopologyDecky) => (each: TopologyAttachment) =>
    each.lan === lan.name ? { ...each, ip: addresses.get(decky.id) ?? each.ip } : each;
  return {
    ...design,
    deckies: design.deckies.map((decky) => ({ ...decky, attachments: decky.attachments.map(moved(decky)) })),
  };
}

function attached(
  decky: TopologyDecky,
  { lan: name, ip, mac: given = "" }: WantedPlace,
  design: Design,
  context: EditContext,
): TopologyDecky {
  const lan = lanOf(design, name);
  if (decky.attachments.some((each) => each.lan === name)) throw invalid("lan", `${decky.name} is on ${name} already`);
  const macs = new Set(design.deckies.flatMap(({ attachments }) => attachments.map(({ mac }) => mac)));
  for (const { mac } of decky.attachments) macs.add(mac);
  const mac = given || makeFreeMac(macs, () => Math.floor(context.random() * (1 << 24)));
  return { ...decky, attachments: [...decky.attachments, { lan: name, ip: ip || nextAddress(design, lan), mac }] };
}

function without(decky: TopologyDecky, lan: string): TopologyDecky {
  return { ...decky, attachments: decky.attachments.filter((each) => each.lan !== lan) };
}

function replaced(design: Design, decky: TopologyDecky): Design {
  return { ...design, deckies: design.deckies.map((each) => (each.id === decky.id ? decky : each)) };
}

function lanOf({ lans }: Design, name: string): TopologyLan {
  const found = lans.find((lan) => lan.name === name);
  if (found !== undefined) return found;
  throw new AppError("LAN_NOT_FOUND", `the topology has no LAN ${JSON.stringify(name)}`, {
    metadata: { lan: name },
    resource: { type: "lan", name },
  });
}

function deckyOf({ deckies }: Design, name: string): TopologyDecky {
  const found = deckies.find((decky) => decky.name === name);
  if (found !== undefined) return found;
  throw new AppError("DECKY_NOT_FOUND", `the topology has no decky ${JSON.stringify(name)}`, {
    metadata: { decky: name },
    resource: { type: "decky", name },
  });
}

function taken(what: string, name: string): AppError {
  return new AppError("TOPOLOGY_INVALID", `there is a ${what} ${name} already`, {
    violations: [{ field: "name", description: "is taken" }],
  });
}

function invalid(field: string, description: string): AppError {
  return new AppError("TOPOLOGY_INVALID", description, { violations: [{ field, description }] });
}

/** An edit as people read it. */
export function wantedSubnet(edit: Edit): string {
  return edit.kind === "add_lan" || edit.kind === "update_lan" ? (edit.subnet ?? "") : "";
}

export function describeEdit(edit: Edit): string {
  switch (edit.kind) {
    case "add_lan":
      return `add the LAN ${edit.name}`;
    case "update_lan":
      return `change the LAN ${edit.name}`;
    case "remove_lan":
      return `remove the LAN ${edit.name}`;
    case "add_decky":
      return `add the decky ${edit.name}`;
    case "update_decky":
      return `change the decky ${edit.name}`;
    case "remove_decky":
      return `remove the decky ${edit.name}`;
    case "attach_decky":
      return `attach ${edit.name} to ${edit.place.lan}`;
    case "detach_decky":
      return `detach ${edit.name} from ${edit.lan}`;
    default:
      return edit satisfies never;
  }
}
