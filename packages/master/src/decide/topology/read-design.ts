import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import { coerceConfig } from "@decnet/engine/catalog/coerce";
import type { Catalog } from "@decnet/engine/catalog/types";
import { findArchetype } from "@decnet/engine/tables/archetypes";
import { type EgressInput, readEgress } from "@decnet/engine/wire/egress";
import type { StoredService } from "../../model/decky.ts";
import type { RotationSetting } from "../../model/rotation.ts";
import { addService, findEntry } from "../../model/services.ts";
import type { Design, TopologyAttachment, TopologyDecky, TopologyLan } from "../../model/topology.ts";
import { makeFreeMac } from "../addresses.ts";
import { freeAddresses, freeSubnets } from "./allocate.ts";
import { type Issue, type TakenSubnet, validateDesign } from "./validate.ts";

/** A design as people write it. Empty texts are chosen for them. */
export interface DesignInput {
  readonly lans: readonly TopologyLan[];
  readonly deckies: readonly {
    readonly name: string;
    readonly archetype: string;
    readonly services: readonly { readonly slug: string; readonly config: unknown }[];
    readonly attachments: readonly { readonly lan: string; readonly ip: string; readonly mac: string }[];
    readonly forwards: boolean;
    readonly rotation?: RotationSetting | undefined;
    readonly egress: readonly EgressInput[];
  }[];
}

export interface DesignContext {
  readonly catalog: Catalog;
  readonly takenSubnets: readonly TakenSubnet[];
  readonly subnetBase: string;
  readonly makeId: () => string;
  /** In [0, 1). */
  readonly random: () => number;
}

export interface ReadDesign {
  readonly design: Design;
  /** What is still missing before it can be deployed. */
  readonly missing: readonly Issue[];
}

/** The name of a LAN or a decky: shorter than in the fleet, for containers and networks hold the topology's id as well. */
export const memberPattern = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;
/** One that a single interface can have. */
export const macPattern = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;

const most = { lans: 200, deckies: 2_000, attachments: 16, shown: 50 } as const;
/** A topology may be stored before it is finished. */
const unfinished: ReadonlySet<string> = new Set(["DMZ_MISSING", "DMZ_ORPHAN"]);

type Problem = (field: string, description: string) => void;

/** A whole design at once. Pure. Throws TOPOLOGY_INVALID with everything that is wrong with it, each with the field it is in. */
export function readDesign(input: DesignInput, context: DesignContext): ReadDesign {
  const problems: FieldViolation[] = [];
  const problem: Problem = (field, description) => void problems.push({ field, description });
  if (input.lans.length > most.lans) problem("design.lans", `at most ${most.lans} LANs`);
  if (input.deckies.length > most.deckies) problem("design.deckies", `at most ${most.deckies} deckies`);
  refuse(problems);
  const lans = readLans(input, context, problem);
  const places = readPlaces(input, lans, context, problem);
  const deckies = input.deckies.map(({ name, archetype, forwards, rotation, egress: allowed, ...rest }, index): TopologyDecky => {
    const at = `design.deckies[${index}]`;
    if (!memberPattern.test(name)) problem(`${at}.name`, nameRule(name));
    const services = readServices({ name, archetype, ...rest }, at, context.catalog, problem);
    const egress = readEgress(allowed, `${at}.egress`, problem);
    return {
      ...{ id: context.makeId(), name, archetype, services, attachments: places[index] ?? [], forwards },
      ...(rotation === undefined ? {} : { rotation }),
      ...(egress.length === 0 ? {} : { egress }),
    };
  });
  const design = { lans, deckies };
  const issues = validateDesign(design, context);
  for (const issue of issues) {
    if (issue.severity === "warning" || unfinished.has(issue.code)) continue;
    const field = fieldOf(issue, design);
    // What was said of a place need not be said of what follows from it.
    if (!problems.some((each) => each.field.startsWith(field))) problem(field, `${issue.code}: ${issue.message}; ${issue.next}`);
  }
  refuse(problems);
  return { design, missing: issues };
}

function refuse(problems: readonly FieldViolation[]): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, most.shown);
  const text = shown.map(({ field, description }) => `${field}: ${description}`).join("; ");
  throw new AppError("TOPOLOGY_INVALID", text.slice(0, 4_000), { violations: shown });
}

function nameRule(name: string): string {
  return `${JSON.stringify(name.slice(0, 40))}: lower-case letters, digits and inner hyphens, 1 to 32 characters`;
}

function readLans({ lans }: DesignInput, { takenSubnets, subnetBase }: DesignContext, problem: Problem): TopologyLan[] {
  const given = lans.flatMap(({ subnet }) => (subnet === "" ? [] : [subnet]));
  const free = freeSubnets(subnetBase, [...takenSubnets.map(({ subnet }) => subnet), ...given]);
  return lans.map(({ name, subnet, isDmz }, index) => {
    const at = `design.lans[${index}]`;
    if (!memberPattern.test(name)) problem(`${at}.name`, nameRule(name));
    if (subnet !== "") return { name, subnet, isDmz };
    const { value, done } = free.next();
    if (done === true) problem(`${at}.subnet`, `${subnetBase} has no free /24 network left`);
    return { name, subnet: done === true ? "" : value, isDmz };
  });
}

/** The places of every decky. Addresses that are given are nobody else's. */
function readPlaces(
  { deckies }: DesignInput,
  lans: readonly TopologyLan[],
  { random }: DesignContext,
  problem: Problem,
): TopologyAttachment[][] {
  const macs = new Set(deckies.flatMap(({ attachments }) => attachments.map(({ mac }) => mac.toLowerCase())));
  const used = new Map<string, Set<string>>();
  for (const { attachments } of deckies)
    for (const { lan, ip } of attachments) if (ip !== "") used.set(lan, (used.get(lan) ?? new Set()).add(ip));
  const free = new Map(lans.map((lan) => [lan.name, freeAddresses(lan, used.get(lan.name) ?? new Set())]));
  const pick = (lan: string, at: string): string => {
    const addresses = free.get(lan);
    const next = addresses?.next();
    if (next !== undefined && next.done !== true) return next.value;
    problem(
      at,
      addresses === undefined ? `there is no LAN ${JSON.stringify(lan.slice(0, 40))}` : `${lan} has no free address left`,
    );
    return "";
  };
  return deckies.map(({ attachments }, index) => {
    const at = `design.deckies[${index}].attachments`;
    if (attachments.length > most.attachments) problem(at, `at most ${most.attachments} LANs`);
    return attachments.slice(0, most.attachments).map(({ lan, ip, mac }, place) => {
      if (mac !== "" && !macPattern.test(mac.toLowerCase()))
        problem(`${at}[${place}].mac`, "is not the MAC address of one interface");
      return {
        lan,
        ip: ip || pick(lan, `${at}[${place}].lan`),
        mac: mac.toLowerCase() || makeFreeMac(macs, () => Math.floor(random() * (1 << 24))),
      };
    });
  });
}

function readServices(
  { name, archetype, services }: Pick<DesignInput["deckies"][number], "name" | "archetype" | "services">,
  at: string,
  catalog: Catalog,
  problem: Problem,
): StoredService[] {
  const found = findArchetype(archetype);
  if (archetype !== "" && found === undefined) problem(`${at}.archetype`, "unknown archetype");
  const asked = services.length > 0 ? services : (found?.services ?? []).map((slug) => ({ slug, config: undefined }));
  return asked.reduce<StoredService[]>((list, { slug, config }, index) => {
    try {
      const entry = findEntry(catalog, slug);
      return addService(list, entry, coerceConfig(entry, config), name, catalog);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      problem(`${at}.services[${index}]`, error.message);
      return list;
    }
  }, []);
}

const partOf: Readonly<Record<string, string>> = {
  SUBNET_MALFORMED: ".subnet",
  SUBNET_OVERLAP: ".subnet",
  LAN_NAME_DUP: ".name",
  DECKY_NAME_DUP: ".name",
  DMZ_MULTIPLE: ".is_dmz",
  GATEWAY_NOT_IN_DMZ: ".forwards",
};

/** Where in the design an issue is; of two that have one name, the second. */
function fieldOf({ target, code }: Issue, { lans, deckies }: Design): string {
  const [kind, name] = target.split(" ");
  const all = kind === "lan" ? lans : kind === "decky" ? deckies : [];
  const index = all.findLastIndex((each) => each.name === name);
  if (index < 0) return "design";
  const part = partOf[code] ?? (/^(IP|MAC)_|^DECKY_ORPHAN$/.test(code) ? ".attachments" : "");
  return `design.${kind === "lan" ? "lans" : "deckies"}[${index}]${part}`;
}
