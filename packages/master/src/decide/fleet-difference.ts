import { AppError } from "@decnet/common/errors/app-error";
import { mapSliced, type Sliced } from "@decnet/common/runtime/slices";
import { type SecretCatalog, secretKeys } from "@decnet/engine/catalog/effective";
import { egressText } from "@decnet/engine/policy/egress";
import type { AttachmentSpecs } from "@decnet/engine/spec";
import { findDistro } from "@decnet/engine/tables/distros";
import { makeHostname } from "@decnet/engine/tables/hostnames";
import { type Decky, homeOf, type Identity, isStuckLeaving, newDecky, type StoredService } from "../model/decky.ts";
import type { LanOnHosts } from "../model/lan.ts";
import { sameServices } from "../model/services.ts";
import { makeFreeMac } from "./addresses.ts";
import type { DeckyChange } from "./decky-change.ts";
import type { ExpandedFleet, WantedDecky } from "./expand-fleet.ts";
import { addressHolders, refuseUnfitLan } from "./lan-on-hosts.ts";
import { createPlacer, type PlaceableHost, type Placement } from "./placement.ts";

/** The fleet as it is stored. */
export interface PresentFleet {
  readonly deckies: readonly Decky[];
  /** Services of the desired revisions, by decky id. */
  readonly services: ReadonlyMap<string, readonly StoredService[]>;
  readonly hosts: readonly PlaceableHost[];
  /** Where new deckies go that nobody places: the own host of the master that is asked. */
  readonly own: string;
  /** The wanted fleet's LAN on the hosts that were asked about it. */
  readonly lans?: LanOnHosts;
  /** Of deckies that rotate, by id: what their services were asked for with. */
  readonly startDigests?: ReadonlyMap<string, string>;
}

export interface DifferenceContext {
  readonly catalog: SecretCatalog;
  readonly now: Date;
  readonly makeId: () => string;
  /** In [0, 1). */
  readonly random: () => number;
  /** Of services that a file asks for; keyed. */
  readonly digest?: (services: readonly StoredService[]) => string;
}

/**
 * What has to become of each decky so that the fleet is as wanted; all are torn down when none is wanted. Pure, in slices. Throws
 * FLEET_INVALID, DECKY_LEAVING, or what placement throws.
 */
export function* fleetDifference(
  present: PresentFleet,
  fleet: ExpandedFleet | undefined,
  context: DifferenceContext,
): Sliced<DeckyChange[]> {
  const { deckies, services } = present;
  const wanted = fleet?.deckies ?? [];
  if (fleet !== undefined) {
    refuseOtherLan(deckies, fleet);
    refuseTakenAddresses(deckies, fleet);
  }
  const servicesOf = ({ id }: Decky) => services.get(id) ?? [];
  const wantedNames = new Set(wanted.map((decky) => decky.name));
  const leaving = deckies.filter((decky) => !wantedNames.has(decky.name) && (!decky.leaving || isStuckLeaving(decky)));
  const changes = [
    ...leaving.map((decky) => unchanged(decky, "teardown", servicesOf(decky))),
    ...(fleet === undefined ? [] : yield* wantedChanges(present, fleet, wantedNames, context)),
  ];
  refuseUnfitLan(changes, present.lans ?? new Map());
  return changes;
}

/** A decky that keeps its place and its services. */
export function unchanged(decky: Decky, action: DeckyChange["action"], services: readonly StoredService[]): DeckyChange {
  const { host, identity, attachments } = decky;
  return { action, decky, host, identity, attachments, before: services, services };
}

function* wantedChanges(
  present: PresentFleet,
  fleet: ExpandedFleet,
  wantedNames: ReadonlySet<string>,
  context: DifferenceContext,
): Sliced<DeckyChange[]> {
  const { deckies, services, hosts, own, lans = new Map() } = present;
  // A decky that goes has its address until it is gone.
  const used = new Set([
    ...deckies.map((decky) => homeOf(decky).ip),
    ...fleet.deckies.flatMap((decky) => decky.ip ?? []),
    ...addressHolders(lans).keys(),
  ]);
  const free = freeAddresses(fleet, used);
  const macs = new Set(deckies.map((decky) => homeOf(decky).mac));
  const byName = new Map(deckies.map((decky) => [decky.name, decky]));
  const deckiesOn = new Map<string, number>();
  for (const { name, host } of deckies) if (wantedNames.has(name)) deckiesOn.set(host, (deckiesOn.get(host) ?? 0) + 1);
  const placer = createPlacer(hosts, deckiesOn);
  return yield* mapSliced(fleet.deckies, (wanted) => {
    const decky = byName.get(wanted.name);
    if (decky?.leaving && !isStuckLeaving(decky))
      throw new AppError("DECKY_LEAVING", `${decky.name} is being torn down`, { metadata: { decky: decky.name } });
    const placement: Placement = wanted.placement ??
      (decky === undefined ? fleet.defaultPlacement : undefined) ?? { kind: "host", name: decky?.host ?? own };
    const host = placer.place(placement, decky?.host);
    return decky === undefined
      ? deploy(wanted, host, fleet, free, macs, context)
      : change(decky, host, services.get(decky.id) ?? [], withRotated(wanted, decky, present, context), context.catalog);
  });
}

function deploy(
  wanted: WantedDecky,
  host: string,
  fleet: ExpandedFleet,
  free: Iterator<string>,
  macs: Set<string>,
  { now, makeId, random }: DifferenceContext,
): DeckyChange {
  const distro = findDistro(wanted.distro);
  if (distro === undefined) throw new Error(`no distro ${wanted.distro}`);
  const identity: Identity = {
    hostname: wanted.hostname ?? makeHostname(distro.hostnameStyle, random),
    distro: distro.slug,
    osFamily: wanted.osFamily,
    archetype: wanted.archetype,
    baseImage: distro.image,
    buildBase: distro.buildBase,
    ...egressOf(wanted),
  };
  const ip = wanted.ip ?? nextAddress(fleet, free);
  const mac = makeFreeMac(macs, () => Math.floor(random() * (1 << 24)));
  const attachments: AttachmentSpecs = [{ lan: fleet.lan, ip, mac }];
  const decky = newDecky({ id: makeId(), scope: "fleet", name: wanted.name, host, attachments, identity, createdAt: now });
  return { action: "deploy", decky, host, identity, attachments, before: [], services: wanted.services };
}

/** A file that asks for what it asked for before leaves the services of a decky alone that rotates: they are its own matter. */
function withRotated(wanted: WantedDecky, { id }: Decky, present: PresentFleet, { digest }: DifferenceContext): WantedDecky {
  const start = present.startDigests?.get(id);
  if (wanted.rotation === undefined || start === undefined || digest?.(wanted.services) !== start) return wanted;
  return { ...wanted, services: present.services.get(id) ?? [] };
}

function change(
  decky: Decky,
  host: string,
  before: readonly StoredService[],
  wanted: WantedDecky,
  catalog: SecretCatalog,
): DeckyChange {
  const services = wanted.services.map((service) =>
    keepSecrets(
      service,
      before.find((other) => other.slug === service.slug),
      catalog,
    ),
  );
  const distro = findDistro(wanted.distro);
  const { egress: _, ...others } = decky.identity;
  const identity: Identity = {
    ...others,
    hostname: wanted.hostname ?? decky.identity.hostname,
    osFamily: wanted.osFamily,
    archetype: wanted.archetype,
    distro: wanted.distro,
    baseImage: distro?.image ?? decky.identity.baseImage,
    buildBase: distro?.buildBase ?? decky.identity.buildBase,
    ...egressOf(wanted),
  };
  const home = homeOf(decky);
  const ip = wanted.ip ?? home.ip;
  const attachments: AttachmentSpecs = [{ ...home, ip }];
  const needsBase =
    ip !== home.ip ||
    identity.hostname !== decky.identity.hostname ||
    identity.osFamily !== decky.identity.osFamily ||
    identity.baseImage !== decky.identity.baseImage;
  // One whose teardown failed is made whole again.
  const isKept = !decky.leaving && sameServices(before, services) && sameEgress(identity, decky.identity);
  const action = host !== decky.host ? "move" : needsBase ? "redeploy" : isKept ? "keep" : "change";
  return { action, decky, host, identity, attachments, before, services };
}

function egressOf({ egress }: WantedDecky): Pick<Identity, "egress"> {
  return egress.length === 0 ? {} : { egress };
}

function sameEgress({ egress: one = [] }: Identity, { egress: other = [] }: Identity): boolean {
  const text = (rules: NonNullable<Identity["egress"]>) => rules.map(egressText).join();
  return text(one) === text(other);
}

/** Files seldom hold secrets: one that is not named is kept, as in every other change. */
function keepSecrets(wanted: StoredService, before: StoredService | undefined, catalog: SecretCatalog): StoredService {
  const secrets = secretKeys(catalog.services.get(wanted.slug));
  const kept = Object.entries(before?.config ?? {}).filter(([key]) => secrets.has(key));
  return { slug: wanted.slug, config: { ...Object.fromEntries(kept), ...wanted.config } };
}

/** The fleet's LAN holds the addresses of all deckies: it changes only while there are none. */
function refuseOtherLan(deckies: readonly Decky[], fleet: ExpandedFleet): void {
  const here = deckies[0]?.attachments[0].lan;
  if (here === undefined) return;
  const isSame =
    here.name === fleet.lan.name &&
    here.driver === fleet.lan.driver &&
    here.subnet === fleet.lan.subnet &&
    here.gateway === fleet.lan.gateway &&
    (here.parent ?? "") === (fleet.lan.parent ?? "") &&
    (here.mtu ?? 0) === (fleet.lan.mtu ?? 0);
  if (isSame) return;
  throw new AppError(
    "FLEET_INVALID",
    `fleet.lan: deckies live on ${here.name} (${here.driver}, ${here.subnet}); tear the fleet down before you change its LAN`,
    { violations: [{ field: "fleet.lan", description: "cannot change while deckies use it" }] },
  );
}

const mostTold = 50;

/** An address that is asked for by name must be free now, or be the decky's own. */
function refuseTakenAddresses(deckies: readonly Decky[], fleet: ExpandedFleet): void {
  const holders = new Map(deckies.map((decky) => [homeOf(decky).ip, decky.name]));
  const violations = fleet.deckies.flatMap(({ name, ip }) => {
    const holder = ip === undefined ? undefined : holders.get(ip);
    const description = `${name} wants ${ip}, which ${holder} has until it is gone`;
    return holder === undefined || holder === name ? [] : [{ field: "fleet.deckies", description }];
  });
  if (violations.length === 0) return;
  const told = violations
    .slice(0, mostTold)
    .map(({ description }) => description)
    .join("; ");
  throw new AppError("FLEET_INVALID", `${told}; apply the fleet without the new one first`, { violations });
}

/** Addresses of the LAN that nobody has, in ascending order. */
function* freeAddresses(fleet: ExpandedFleet, used: ReadonlySet<string>): Generator<string> {
  for (const address of fleet.subnet.hosts(fleet.ipStart)) if (address !== fleet.lan.gateway && !used.has(address)) yield address;
}

function nextAddress(fleet: ExpandedFleet, free: Iterator<string>): string {
  const { value, done } = free.next();
  if (done !== true) return value;
  throw new AppError("FLEET_INVALID", `fleet.lan.subnet: ${fleet.lan.subnet} has no free address left`, {
    violations: [{ field: "fleet.lan.subnet", description: "is full" }],
  });
}
