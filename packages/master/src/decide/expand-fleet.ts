import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import { coerceConfig, unknownSettings } from "@decnet/engine/catalog/coerce";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { LanSpec } from "@decnet/engine/spec";
import { archetypes, findArchetype } from "@decnet/engine/tables/archetypes";
import { distros, findDistro } from "@decnet/engine/tables/distros";
import { osFamilyNames } from "@decnet/engine/tables/os-families";
import { isMtu, mtuRange, reservedUse } from "@decnet/engine/tables/subnets";
import { enginesOwn } from "@decnet/engine/wire/decky-spec";
import type { StoredService } from "../model/decky.ts";
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
const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const hostnamePattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;
const maxDeckies = 10_000;

/**
 * Turns a fleet as people write it into one entry per decky. Pure. Reports every problem at once, each with the field it is in.
 */
export function expandFleet(input: WantedFleetInput, catalog: Catalog): ExpandedFleet {
  const problems: FieldViolation[] = [];
  const problem = (field: string, description: string) => void problems.push({ field, description });
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
  const deckies = input.deckies.flatMap((wanted, index) =>
    expandDecky(wanted, `fleet.deckies[${index}]`, subnet, catalog, problem),
  );
  if (deckies.length > maxDeckies) problem("fleet.deckies", `at most ${maxDeckies} deckies`);
  refuseNameClashes(deckies, catalog, problem);
  const ips = deckies.flatMap((decky) => (decky.ip === undefined ? [] : [decky.ip]));
  for (const ip of new Set(ips.filter((ip, at) => ips.indexOf(ip) !== at)))
    problem("fleet.deckies", `the address ${ip} is given twice`);
  if (ips.includes(gateway ?? "")) problem("fleet.deckies", `the address ${gateway} is the gateway's`);
  if (problems.length > 0 || subnet === undefined || gateway === undefined) {
    const shown = problems.slice(0, 50);
    throw new AppError(
      "FLEET_INVALID",
      shown
        .map(({ field, description }) => `${field}: ${description}`)
        .join("; ")
        .slice(0, 4_000),
      { violations: shown },
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
    warnings: input.deckies.flatMap((decky) => unknownOf(decky, catalog)).slice(0, mostWarnings),
  };
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
    services,
    archetype: wanted.archetype,
    ip: wanted.ip || undefined,
    distro,
    hostname: wanted.hostname || undefined,
    osFamily,
    placement: wanted.placement,
  };
  return names.map((name) => ({ name, ...common }));
}

/** `web-[01-03]` → web-01, web-02, web-03. `web` with a count of 2 → web-01, web-02. */
export function expandNames(name: string, count: number): string[] {
  const range = /^(.*)\[(\d{1,4})-(\d{1,4})\](.*)$/.exec(name);
  const numbers = (from: number, to: number, width: number) =>
    Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => String(from + index).padStart(width, "0"));
  if (range !== null) {
    const [, head = "", from = "", to = "", tail = ""] = range;
    return count > 0 ? [] : numbers(Number(from), Number(to), from.length).map((number) => `${head}${number}${tail}`);
  }
  if (count === 0) return name === "" ? [] : [name];
  if (count > 1_000) return [];
  return numbers(1, count, Math.max(2, String(count).length)).map((number) => `${name}-${number}`);
}

/** Containers are called `<decky>` and `<decky>-<slug>`: no decky may have the name of another one's container. */
function refuseNameClashes(deckies: readonly WantedDecky[], catalog: Catalog, problem: Problem): void {
  const names = new Set<string>();
  for (const { name } of deckies) {
    if (names.has(name)) problem("fleet.deckies", `the name ${name} is a duplicate`);
    names.add(name);
  }
  for (const name of names)
    for (const slug of catalog.services.keys())
      if (names.has(`${name}-${slug}`))
        problem("fleet.deckies", `${name}-${slug} would be called like the ${slug} container of ${name}`);
}
