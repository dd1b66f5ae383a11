import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import { DeckySpecSchema } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { LanDriver } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { beforeAll, describe, expect, it } from "vitest";
import { loadCatalog } from "../catalog/load.ts";
import type { Catalog } from "../catalog/types.ts";
import { parseSpecMessage, toSpecMessage } from "./decky-spec.ts";

type Init = Exclude<MessageInitShape<typeof DeckySpecSchema>, { $typeName: string }>;

const lan = { driver: LanDriver.BRIDGE, name: "decnet_lan", subnet: "10.66.0.0/24", gateway: "10.66.0.1", parent: "" };
const fine = {
  ref: { name: "web-01" },
  id: "5ae6d90c-98a4-4a33-9d3f-7c8f9b2f2f10",
  revision: 1,
  hostname: "web-01",
  distro: "debian",
  osFamily: "linux",
  lan,
  ip: "10.66.0.10",
  mac: "00:50:56:01:02:03",
  services: [{ slug: "redis", config: {} }],
} satisfies Init;

/** One field of a spec as a master that somebody took over could send it: what it is refused for, and the field. */
const hostile: [what: string, change: Init, field: string][] = [
  ["a path as name", { ref: { name: "../../etc" } }, "decky.name"],
  ["no name", { ref: { name: "" } }, "decky.name"],
  ["a name that is an option", { ref: { name: "--privileged" } }, "decky.name"],
  ["a name with a line break", { ref: { name: "a\nb" } }, "decky.name"],
  ["a path as topology", { ref: { name: "a", topologyId: "../x" } }, "decky.topology_id"],
  ["an image as distro", { distro: "evil/image:latest" }, "distro"],
  ["a path as distro", { distro: "/etc" }, "distro"],
  ["a property of objects as distro", { distro: "__proto__" }, "distro"],
  ["an unknown family", { osFamily: "constructor" }, "os_family"],
  ["a service that is not in the catalog", { services: [{ slug: "shell" }] }, "services[0].slug"],
  ["a path as service", { services: [{ slug: "../redis" }] }, "services[0].slug"],
  ["a service twice", { services: [{ slug: "redis" }, { slug: "redis" }] }, "services[1].slug"],
  ["a service of the whole host", { services: [{ slug: "sniffer" }] }, "services[0].slug"],
  ["the host's own network", { lan: { ...lan, name: "host" } }, "lan.name"],
  ["no network", { lan: { ...lan, name: "none" } }, "lan.name"],
  ["the engine's bridge", { lan: { ...lan, name: "bridge" } }, "lan.name"],
  ["a network name that is an option", { lan: { ...lan, name: "-x" } }, "lan.name"],
  ["no driver", { lan: { ...lan, driver: LanDriver.UNSPECIFIED } }, "lan.driver"],
  ["a subnet of the whole internet", { lan: { ...lan, subnet: "0.0.0.0/0" } }, "lan.subnet"],
  ["a subnet that is none", { lan: { ...lan, subnet: "999.1.1.1/24" } }, "lan.subnet"],
  ["a gateway elsewhere", { lan: { ...lan, gateway: "8.8.8.8" } }, "lan.gateway"],
  ["a parent that is a path", { lan: { ...lan, parent: "../eth0" } }, "lan.parent"],
  ["an address elsewhere", { ip: "192.168.0.1" }, "ip"],
  ["an address that is none", { ip: "10.66.0.999" }, "ip"],
  ["a MAC address of everybody", { mac: "ff:ff:ff:ff:ff:ff" }, "mac"],
  ["a MAC address that is a command", { mac: "$(id)" }, "mac"],
  ["a hostname that is a command", { hostname: "a;reboot" }, "hostname"],
  ["a hostname of many lines", { hostname: "a\nExec=b" }, "hostname"],
  ["no id", { id: "" }, "id"],
  ["a path as id", { id: "../../x" }, "id"],
  ["no revision", { revision: 0 }, "revision"],
];

describe("a spec from outside", () => {
  let catalog: Catalog;

  beforeAll(async () => {
    catalog = await loadCatalog([fileURLToPath(new URL("../../../../catalog", import.meta.url))]);
  });

  const parse = (change: Init) => parseSpecMessage(create(DeckySpecSchema, { ...fine, ...change }), catalog);
  const refusalOf = (change: Init): AppError => {
    try {
      parse(change);
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
    throw new Error("it was taken");
  };

  it("is read, and written back as the same message", () => {
    const message = create(DeckySpecSchema, fine);
    expect(toSpecMessage(parse({}))).toEqual(message);
  });

  it.each(hostile)("with %s is refused, by the name of the field", (_, change, field) => {
    const refusal = refusalOf(change);
    expect(refusal.reason).toBe("REQUEST_INVALID");
    expect(refusal.violations.map((violation) => violation.field)).toContain(field);
  });

  it("without a LAN is refused", () => {
    const { lan: _, ...without } = fine;
    expect(() => parseSpecMessage(create(DeckySpecSchema, without), catalog)).toThrow(AppError);
  });

  it("takes its images from this host's tables, and settings that the catalog does not know are dropped", () => {
    const config = { image: "evil", volumes: ["/:/host"], privileged: true, maxmemory_mb: 32 };
    const { spec } = parse({ services: [{ slug: "redis", config }] });
    expect(Object.keys(spec.services[0]?.config ?? {}).filter((key) => key !== "maxmemory_mb")).toEqual([]);
    expect(spec.baseImage).toMatch(/^decnet\/base-debian:/);
  });
});
