import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import type { Sliced } from "@decnet/common/runtime/slices";
import { coerceConfig, unknownSettings } from "@decnet/engine/catalog/coerce";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { EgressRule } from "@decnet/engine/policy/egress";
import type { LanSpec } from "@decnet/engine/spec";
import { archetypes, findArchetype } from "@decnet/engine/tables/archetypes";
import { distros, findDistro } from "@decnet/engine/tables/distros";
import { osFamilyNames } from "@decnet/engine/tables/os-families";
import { isMtu, mtuRange, reservedUse } from "@decnet/engine/tables/subnets";
import { enginesOwn } from "@decnet/engine/wire/decky-spec";
import { type EgressInput, readEgress } from "@decnet/engine/wire/egress";
import type { StoredService } from "../model/decky.ts";
import type { RotationSetting } from "../model/rotation.ts";
import { addService, findEntry } from "../model/services.ts";
import { parseSubnet, type Subnet } from "./addresses.ts";
import type { Placement } from "./placement.ts";

export interface WantedDeckyInput {
  readonly name: string;
  readonly count: number;
  readonly archetype: string;
  readonly services: readonly { readonly slug: string; readonly config: unknown }[];
  readonly ip: string;
  readonly distro: string;
  readonly hostname: string;
  readonly osFamily: string;
  readonly placement: Placement | undefined;
  /** None, also not those of the archetype. */
  readonly noServices: boolean;
  /** Undefined: as the fleet says; null: its services stay as they are. */
  readonly rotate?: RotationSetting | null | undefined;
  /** What it may call besides its neighbours. */
  readonly egress: readonly EgressInput[];
}

export interface WantedFleetInput {
  readonly lan: {
    readonly driver: "bridge" | "macvlan" | "ipvlan";
    readonly name: string;
    readonly subnet: string;
    readonly gateway: string;
    readonly parent: string;
    readonly ipStart: string;
    /** 0: none of its own. */
    readonly mtu: number;
  };
  readonly driftPolicy: "repair" | "report";
  readonly deckies: readonly WantedDeckyInput[];
  readonly defaultPlacement: Placement | undefined;
  readonly movePolicy: "remove_first" | "keep_old";
  readonly rotate?: RotationSetting | null | undefined;
}

/** One wanted decky. Undefined means: keep what it has, or make it up for a new one. */
export interface WantedDecky {
  readonly name: string;
  readonly services: readonly StoredService[];
  readonly archetype: string;
  readonly ip: string | undefined;
  readonly distro: string;
  readonly hostname: string | undefined;
  readonly osFamily: string;
  readonly placement: Placement | undefined;
  /** Undefined: its services stay as they are. */
  readonly rotation?: RotationSetting | undefined;
  readonly egress: readonly EgressRule[];
}

export interface ExpandedFleet {
  readonly lan: LanSpec;
  readonly subnet: Subnet;
  readonly ipStart: string | undefined;
  readonly driftPolicy: "repair" | "report";
  readonly deckies: readonly WantedDecky[];
  readonly defaultPlacement: Placement | undefined;
  readonly movePolicy: "remove_first" | "keep_old";
  /** Settings that no service has, which are left out. */
  readonly warnings?: readonly string[];
}

const mostWarnings = 50;
const mostProblems = 50;
const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const hostnamePattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;
const maxDeckies = 10_000;

/**
 * Turns a fleet as people write it into one entry per decky. Pure, in slices. Reports every problem at once, each with the field
 * it is in; a fleet that is too large is refused before anything is made of it.
 */
export function* expandFleet(input: WantedFleetInput, catalog: Catalog): Sliced<ExpandedFleet> {
  refuseTooMany(input.deckies);
  const problems: FieldViolation[] = [];
  const problem = (field: string, description: string) => {
    if (problems.length < mostProblems) problems.push({ field, description });
  };
  const subnet = parseSubnet(input.lan.subnet);
  if (subnet === undefined) problem("fleet.lan.subnet", "must be an IPv4 network such as 10.66.0.0/24, /16 to /29");
  const use = subnet === undefined ? undefined : reservedUse(input.lan.subnet);
  if (use !== undefined) problem("fleet.lan.subnet", `${input.lan.subnet} ${use}`);
  const mtu = input.lan.mtu || undefined;
  if (!isMtu(mtu)) problem("fleet.lan.mtu", `must be from ${mtuRange.least} to ${mtuRange.most}`);
  const gateway = input.lan.gateway === "" ? subnet?.firstHost : input.lan.gateway;
  for (const [field, address] of [
    ["gateway", input.lan.gateway],
    ["ip_start", input.lan.ipStart],
  ] as const)
    if (address !== "" && subnet !== undefined && !subnet.hasHost(address))
      problem(`fleet.lan.${field}`, `${address} is not a host of ${input.lan.subnet}`);
  if (input.lan.driver !== "bridge" && input.lan.parent === "")
    problem("fleet.lan.parent", `${input.lan.driver} needs a host interface`);
  if (input.lan.name !== "" && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(input.lan.name))
    problem("fleet.lan.name", "is not a network name");
  if (enginesOwn.has(input.lan.name)) problem("fleet.lan.name", "is a network of the engine itself");
  if (input.lan.parent !== "" && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/.test(input.lan.parent))
    problem("fleet.lan.parent", "is not an interface name");
  const deckies: WantedDecky[] = [];
  for (const [index, wanted] of input.deckies.entries()) {
    const rotation = (wanted.rotate === undefined ? input.rotate : wanted.rotate) ?? undefined;
    for (const decky of expandDecky(wanted, `fleet.deckies[${index}]`, subnet, catalog, problem))
      deckies.push(rotation === undefined ? decky : { ...decky, rotation });
    yield;
  }
  yield* refuseNameClashes(deckies, catalog, problem);
  const ips = new Set<string>();
  for (const { ip } of deckies) {
    if (ip !== undefined && ips.has(ip)) problem("fleet.deckies", `the address ${ip} is given twice`);
    if (ip !== undefined) ips.add(ip);
  }
  if (ips.has(gateway ?? "")) problem("fleet.deckies", `the address ${gateway} is the gateway's`);
  if (problems.length > 0 || subnet === undefined || gateway === undefined) {
    throw new AppError(
      "FLEET_INVALID",
      problems
        .map(({ field, description }) => `${field}: ${description}`)
        .join("; ")
        .slice(0, 4_000),
      { violations: problems },
    );
  }
  return {
    lan: {
      name: input.lan.name || "decnet_lan",
      driver: input.lan.driver,
      subnet: input.lan.subnet,
      gateway,
      parent: input.lan.parent || undefined,
      ...(mtu === undefined ? {} : { mtu }),
    },
    subnet,
    ipStart: input.lan.ipStart || undefined,
    driftPolicy: input.driftPolicy,
    deckies,
    defaultPlacement: input.defaultPlacement,
    movePolicy: input.movePolicy,
    warnings: yield* warningsOf(input.deckies, catalog),
  };
}

/** How many deckies are asked for is told by the numbers alone. */
function refuseTooMany(deckies: readonly WantedDeckyInput[]): void {
  // Nothing is made of entries that are too many even when each of them is wrong.
  const total = deckies.reduce((sum, { name, count }) => sum + Math.max(1, countNames(name, count)), 0);
  if (total <= maxDeckies) return;
  const description = `at most ${maxDeckies} deckies`;
  throw new AppError("FLEET_INVALID", `fleet.deckies: ${description}`, {
    violations: [{ field: "fleet.deckies", description }],
  });
}

function* warningsOf(deckies: readonly WantedDeckyInput[], catalog: Catalog): Sliced<string[]> {
  const warnings: string[] = [];
  for (const decky of deckies) {
    if (warnings.length >= mostWarnings) break;
    warnings.push(...unknownOf(decky, catalog));
    yield;
  }
  return warnings.slice(0, mostWarnings);
}

function unknownOf({ name, services }: WantedDeckyInput, catalog: Catalog): string[] {
  return services.flatMap(({ slug, config }) => {
    const entry = catalog.services.get(slug);
    return entry === undefined ? [] : unknownSettings(entry, config).map((warning) => `${name}: ${warning}`);
  });
}

type Problem = (field: string, description: string) => void;

function expandDecky(
  wanted: WantedDeckyInput,
  at: string,
  subnet: Subnet | undefined,
  catalog: Catalog,
  problem: Problem,
): WantedDecky[] {
  const names = expandNames(wanted.name, wanted.count);
  if (names.length === 0)
    problem(`${at}.name`, "must be a name, a range such as web-[01-10], or a prefix with count from 1 to 1000");
  for (const name of names)
    if (!namePattern.test(name))
      problem(
        `${at}.name`,
        `${JSON.stringify(name.slice(0, 80))}: lower-case letters, digits and inner hyphens, 1 to 63 characters`,
      );
  if (names.length > 1 && (wanted.ip !== "" || wanted.hostname !== ""))
    problem(`${at}.ip`, "an address or a hostname fits one decky only");
  if (wanted.ip !== "" && subnet !== undefined && !subnet.hasHost(wanted.ip))
    problem(`${at}.ip`, `${wanted.ip} is not a host of the subnet`);
  if (wanted.hostname !== "" && !hostnamePattern.test(wanted.hostname)) problem(`${at}.hostname`, "is not a hostname");
  const archetype = findArchetype(wanted.archetype);
  if (wanted.archetype !== "" && archetype === undefined)
    problem(`${at}.archetype`, `must be one of ${archetypes.map(({ slug }) => slug).join(", ")}`);
  const distro = wanted.distro || archetype?.distros[0] || "debian";
  if (findDistro(distro) === undefined) problem(`${at}.distro`, `must be one of ${distros.map(({ slug }) => slug).join(", ")}`);
  const osFamily = wanted.osFamily || archetype?.osFamily || "linux";
  if (!osFamilyNames.includes(osFamily)) problem(`${at}.os_family`, `must be one of ${osFamilyNames.join(", ")}`);
  if (wanted.noServices && wanted.services.length > 0) problem(`${at}.no_services`, "cannot be together with services");
  const usual = wanted.noServices ? [] : (archetype?.services ?? []).map((slug) => ({ slug, config: {} }));
  const asked = wanted.services.length > 0 ? wanted.services : usual;
  if (asked.length === 0 && !wanted.noServices) problem(`${at}.services`, "name services or an archetype, or set no_services");
  if (asked.length > catalog.services.size) {
    problem(`${at}.services`, `the catalog has ${catalog.services.size} services, and each is there once at most`);
    return [];
  }
  const services = asked.reduce<StoredService[]>((list, service, index) => {
    try {
      const entry = findEntry(catalog, service.slug);
      return addService(list, entry, coerceConfig(entry, service.config), names[0] ?? "", catalog);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      problem(`${at}.services[${index}]`, error.message);
      return list;
    }
  }, []);
  const common = {
    ...{ services, archetype: wanted.archetype, distro, osFamily, placement: wanted.placement },
    ip: wanted.ip || undefined,
    hostname: wanted.hostname || undefined,
    egress: readEgress(wanted.egress, `${at}.egress`, problem),
  };
  return names.map((name) => ({ name, ...common }));
}

/** A name of 63 characters around the longest range. */
const longestPattern = 80;

interface Range {
  readonly head: string;
  readonly tail: string;
  readonly from: number;
  readonly to: number;
  readonly width: number;
}

/** What follows the last opening bracket is the range; undefined for a name without one. */
function rangeOf(name: string): Range | undefined {
  const at = name.length > longestPattern ? -1 : name.lastIndexOf("[");
  const [whole, from = "", to = ""] = (at < 0 ? null : /^\[(\d{1,4})-(\d{1,4})\]/.exec(name.slice(at))) ?? [];
  if (whole === undefined) return undefined;
  const tail = name.slice(at + whole.length);
  return { head: name.slice(0, at), tail, from: Number(from), to: Number(to), width: from.length };
}

/** How many names expandNames makes of it. */
function countNames(name: string, count: number): number {
  const range = rangeOf(name);
  if (range !== undefined) return count > 0 ? 0 : Math.max(0, range.to - range.from + 1);
  if (count === 0) return name === "" ? 0 : 1;
  return count > mostOfOne ? 0 : count;
}

const mostOfOne = 1_000;

/** `web-[01-03]` → web-01, web-02, web-03. `web` with a count of 2 → web-01, web-02. */
export function expandNames(name: string, count: number): string[] {
  const length = countNames(name, count);
  const range = rangeOf(name);
  const numbers = (from: number, width: number) =>
    Array.from({ length }, (_, index) => String(from + index).padStart(width, "0"));
  if (range !== undefined) return numbers(range.from, range.width).map((number) => `${range.head}${number}${range.tail}`);
  if (count === 0) return name === "" ? [] : [name];
  return numbers(1, Math.max(2, String(count).length)).map((number) => `${name.slice(0, longestPattern)}-${number}`);
}

/** Containers are called `<decky>` and `<decky>-<slug>`: no decky may have the name of another one's container. */
function* refuseNameClashes(deckies: readonly WantedDecky[], catalog: Catalog, problem: Problem): Sliced<void> {
  const names = new Set<string>();
  for (const { name } of deckies) {
    if (names.has(name)) problem("fleet.deckies", `the name ${name} is a duplicate`);
    names.add(name);
  }
  for (const name of names) {
    for (const slug of catalog.services.keys())
      if (names.has(`${name}-${slug}`))
        problem("fleet.deckies", `${name}-${slug} would be called like the ${slug} container of ${name}`);
    yield;
  }
}
