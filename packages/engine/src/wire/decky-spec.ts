import { BlockList, isIPv4 } from "node:net";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import {
  type Attachment as AttachmentMessageShape,
  type DeckySpec as DeckySpecMessage,
  DeckySpecSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { DeckyRef } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { LanDriver as DriverMessage, type FleetLan, FleetLanSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { coerceConfig } from "../catalog/coerce.ts";
import type { Catalog } from "../catalog/types.ts";
import type { AttachmentSpec, AttachmentSpecs, DeckySpec, DeckyTarget, LanDriver, LanSpec, ServiceSpec } from "../spec.ts";
import { findDistro } from "../tables/distros.ts";
import { osFamilyNames } from "../tables/os-families.ts";
import { isMtu, mtuRange, reservedUse } from "../tables/subnets.ts";
import { readEgress, readRoutes, toEgressMessage } from "./egress.ts";

/**
 * What a host is told about one decky. Images do not travel but the distro does: each host takes the images from its own tables.
 * `id` tells a decky from an earlier one of the same name.
 */
export type HostTarget =
  | { readonly kind: "present"; readonly spec: DeckySpec; readonly id: string; readonly distro: string }
  | Extract<DeckyTarget, { kind: "absent" }>;

/** A decky's home and its other places are said with the same fields. */
type AttachmentMessage = Pick<AttachmentMessageShape, "lan" | "ip" | "mac">;

export type PresentTarget = Extract<HostTarget, { kind: "present" }>;

const drivers = {
  bridge: DriverMessage.BRIDGE,
  macvlan: DriverMessage.MACVLAN,
  ipvlan: DriverMessage.IPVLAN,
} as const satisfies Record<LanDriver, DriverMessage>;

export function toRefMessage(decky: { readonly scope: string; readonly name: string }): { topologyId: string; name: string } {
  return { topologyId: decky.scope === "fleet" ? "" : decky.scope, name: decky.name };
}

/** Throws REQUEST_INVALID. */
export function parseDeckyRef(ref: DeckyRef | undefined): { scope: string; name: string } {
  const problems: FieldViolation[] = [];
  if (!namePattern.test(ref?.name ?? "")) problems.push({ field: "decky.name", description: "is not the name of a decky" });
  if (!scopePattern.test(ref?.topologyId ?? ""))
    problems.push({ field: "decky.topology_id", description: "is not the id of a topology" });
  if (problems.length > 0) throw refusal(problems);
  return { scope: ref?.topologyId || "fleet", name: ref?.name ?? "" };
}

export function toSpecMessage({ spec, id, distro }: PresentTarget): DeckySpecMessage {
  return create(DeckySpecSchema, {
    ref: toRefMessage(spec),
    id,
    revision: spec.revision,
    hostname: spec.hostname,
    distro,
    osFamily: spec.osFamily,
    lan: toLanMessage(spec.attachments[0].lan),
    ip: spec.attachments[0].ip,
    mac: spec.attachments[0].mac,
    otherAttachments: spec.attachments.slice(1).map(({ lan, ip, mac }) => ({ lan: toLanMessage(lan), ip, mac })),
    forwards: spec.forwards,
    publishOn: spec.publishOn ?? "",
    routes: [...(spec.routes ?? [])],
    egress: toEgressMessage(spec.egress),
    services: spec.services.map(({ slug, config }) => ({ slug, config: toStruct(config) })),
  });
}

export function toLanMessage({ driver, name, subnet, gateway, parent = "", mtu = 0, internal = false }: LanSpec): FleetLan {
  return create(FleetLanSchema, { driver: drivers[driver], name, subnet, gateway, parent, mtu, internal });
}

type Check = (field: string, isFine: boolean, description: string) => void;

/** Undefined: the checks say why. */
function readLan(lan: FleetLan | undefined, check: Check): LanSpec | undefined {
  const driver = Object.entries(drivers).find(([, value]) => value === lan?.driver)?.[0] as LanDriver | undefined;
  check("lan.driver", driver !== undefined, "unknown driver");
  check("lan.name", networkPattern.test(lan?.name ?? ""), "is not a network name");
  check("lan.name", !enginesOwn.has(lan?.name ?? ""), "is a network of the engine itself");
  const subnet = parseNetwork(lan?.subnet ?? "");
  check("lan.subnet", subnet !== undefined, "is not an IPv4 network of /16 to /29");
  const use = reservedUse(lan?.subnet ?? "");
  check("lan.subnet", use === undefined, use ?? "");
  check("lan.gateway", subnet?.check(lan?.gateway ?? "") === true, "is not an address in lan.subnet");
  check("lan.parent", /^([a-zA-Z0-9][a-zA-Z0-9_.-]{0,14})?$/.test(lan?.parent ?? ""), "is not an interface name");
  const mtu = lan?.mtu || undefined;
  check("lan.mtu", isMtu(mtu), `is not from ${mtuRange.least} to ${mtuRange.most}`);
  check("lan.internal", lan?.internal !== true || driver === "bridge", "only a bridge can be internal");
  if (lan === undefined || driver === undefined) return undefined;
  const { name, gateway, internal } = lan;
  return { name, driver, subnet: lan.subnet, gateway, parent: lan.parent || undefined, mtu, ...(internal ? { internal } : {}) };
}

/** Undefined: the checks say why. */
function readAttachment({ lan: message, ip, mac }: AttachmentMessage, check: Check): AttachmentSpec | undefined {
  const lan = readLan(message, check);
  check("ip", parseNetwork(message?.subnet ?? "")?.check(ip) === true, "is not an address in lan.subnet");
  check("mac", /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac), "is not the MAC address of one machine");
  return lan === undefined ? undefined : { lan, ip, mac };
}

/** At most so many LANs of one decky. */
const mostAttachments = 16;

function readAttachments(message: DeckySpecMessage, check: Check): AttachmentSpecs | undefined {
  const { otherAttachments: others } = message;
  const home = readAttachment(message, check);
  check("other_attachments", others.length < mostAttachments, `a decky has at most ${mostAttachments} LANs`);
  const read = others
    .slice(0, mostAttachments)
    .map((each, index) =>
      readAttachment(each, (field, isFine, description) => check(`other_attachments[${index}].${field}`, isFine, description)),
    );
  const names = [home, ...read].flatMap((each) => (each === undefined ? [] : [each.lan.name]));
  check("other_attachments", new Set(names).size === names.length, "a LAN is a duplicate");
  if (home === undefined || read.some((each) => each === undefined)) return undefined;
  return [home, ...read.filter((each) => each !== undefined)];
}

/** Throws REQUEST_INVALID. */
export function parseLanMessage(message: FleetLan | undefined): LanSpec {
  const problems: FieldViolation[] = [];
  const lan = readLan(message, (field, isFine, description) => void (isFine || problems.push({ field, description })));
  if (problems.length > 0 || lan === undefined) throw refusal(problems);
  return lan;
}

/**
 * Reads a spec that came from outside, against this host's own catalog and tables: nothing that they do not contain can be
 * asked for. Throws REQUEST_INVALID or CONFIG_INVALID.
 */
export function parseSpecMessage(message: DeckySpecMessage, catalog: Catalog): PresentTarget {
  const problems: FieldViolation[] = [];
  const check = (field: string, isFine: boolean, description: string) => {
    if (!isFine) problems.push({ field, description });
  };
  const { scope, name } = parseDeckyRef(message.ref);
  const distro = findDistro(message.distro);
  check("id", /^[0-9a-f-]{1,64}$/.test(message.id), "is not the id of a decky");
  check("revision", message.revision > 0, "must be at least 1");
  check("hostname", hostnamePattern.test(message.hostname), "is not a hostname");
  check("distro", distro !== undefined, `${JSON.stringify(message.distro)} is not in this host's table of distros`);
  check("os_family", osFamilyNames.includes(message.osFamily), `must be one of ${osFamilyNames.join(", ")}`);
  check("publish_on", message.publishOn === "" || isIPv4(message.publishOn), "is not an IPv4 address");
  const attachments = readAttachments(message, check);
  const routes = readRoutes(message.routes, attachments, check);
  const egress = readEgress(message.egress, "egress", (field, description) => check(field, false, description));
  const services = message.services.map((service, index): ServiceSpec => {
    const entry = catalog.services.get(service.slug);
    check(`services[${index}].slug`, entry !== undefined, `${JSON.stringify(service.slug)} is not in this host's catalog`);
    check(`services[${index}].slug`, entry?.singleton !== true, `${service.slug} runs once per host`);
    check(
      `services[${index}].slug`,
      message.services.findIndex((other) => other.slug === service.slug) === index,
      `duplicate ${service.slug}`,
    );
    return { slug: service.slug, config: entry === undefined ? {} : coerceConfig(entry, service.config) };
  });
  if (problems.length > 0 || distro === undefined || attachments === undefined) throw refusal(problems);
  return {
    kind: "present",
    id: message.id,
    distro: distro.slug,
    spec: {
      scope,
      name,
      revision: message.revision,
      hostname: message.hostname,
      baseImage: distro.image,
      buildBase: distro.buildBase,
      osFamily: message.osFamily,
      attachments,
      forwards: message.forwards,
      ...(routes.length === 0 ? {} : { routes }),
      ...(egress.length === 0 ? {} : { egress }),
      ...(message.publishOn === "" ? {} : { publishOn: message.publishOn }),
      services,
    },
  };
}

const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const scopePattern = /^[a-z0-9-]{0,64}$/;
const hostnamePattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;
const networkPattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
/** Networks that every engine has; a decky there would be on the host's own. */
export const enginesOwn: ReadonlySet<string> = new Set(["bridge", "host", "none", "default", "ingress"]);

function parseNetwork(text: string): BlockList | undefined {
  const [network = "", bits = "", ...more] = text.split("/");
  if (!isIPv4(network) || !/^(1[6-9]|2\d)$/.test(bits) || more.length > 0) return undefined;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), "ipv4");
  return list;
}

function refusal(violations: readonly FieldViolation[]): AppError {
  const message = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  return new AppError("REQUEST_INVALID", message || "the spec is incomplete", { violations });
}

function toStruct(config: ServiceSpec["config"]): JsonObject {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value === "object" ? [...value] : value]));
}
