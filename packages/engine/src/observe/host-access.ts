import { z } from "zod";
import type { LanSpec } from "../spec.ts";
import { notObserved } from "./not-observed.ts";

/** The host's own leg on a macvlan or ipvlan LAN: without it the host cannot reach its deckies there. */
export interface ObservedHelper {
  readonly name: string;
  readonly kind: string;
  readonly parent: string;
  /** Its alias; see `helperOwner`. */
  readonly owner: string;
  readonly isUp: boolean;
  readonly addresses: readonly string[];
  /** Single addresses that are routed through it. */
  readonly routes: readonly string[];
}

/** What the planner needs to know of the host's way to one LAN. */
export interface ObservedAccess {
  /** The host's address on the parent interface; the helper gets the same one. */
  readonly hostAddress: string;
  readonly owner: string;
  /** Undefined when there is none yet. */
  readonly helper: ObservedHelper | undefined;
  /** What a new one would be called. */
  readonly freeName: string;
}

/** Interfaces and routes of the host as `ip -json` tells them. */
export interface ObservedLinks {
  readonly names: ReadonlySet<string>;
  /** IPv4 addresses by interface. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** What their addresses are in, as CIDR with the address; by interface, but for loopback. */
  readonly subnets: ReadonlyMap<string, readonly string[]>;
  /** Interfaces that others carry, with those. */
  readonly parents: ReadonlyMap<string, string>;
  readonly mtus: ReadonlyMap<string, number>;
  /** But for the default one. */
  readonly routes: readonly { readonly dst: string; readonly dev: string }[];
  readonly helpers: readonly ObservedHelper[];
}

const inet = z.object({ family: z.string().default(""), local: z.string().default(""), prefixlen: z.number().default(32) });
const link = z.object({
  ifname: z.string().default(""),
  link: z.string().default(""),
  ifalias: z.string().default(""),
  flags: z.array(z.string()).default([]),
  mtu: z.number().default(0),
  linkinfo: z.object({ info_kind: z.string().default("") }).default({ info_kind: "" }),
  addr_info: z.array(inet).default([]),
});
const route = z.object({ dst: z.string(), dev: z.string().default("") });

/** Says whose helper an interface is, exactly: of one network of one installation. */
export function helperOwner(instance: string, network: string): string {
  return `decnet ${instance} ${network}`;
}

/** Reads the output of `ip -json -details address show` and `ip -json -4 route show`. */
export function parseLinks(addressJson: string, routeJson: string): ObservedLinks {
  const links = parseWhole(z.array(link), "addresses", addressJson);
  const routes = parseWhole(z.array(route), "routes", routeJson);
  const inets = ({ addr_info: all }: z.infer<typeof link>) => all.filter(({ family }) => family === "inet");
  const ipv4 = (each: z.infer<typeof link>) => inets(each).map(({ local }) => local);
  const own = links.filter(({ flags }) => !flags.includes("LOOPBACK"));
  return {
    names: new Set(links.map((each) => each.ifname)),
    addresses: new Map(links.map((each) => [each.ifname, ipv4(each)])),
    subnets: new Map(own.map((each) => [each.ifname, inets(each).map(({ local, prefixlen }) => `${local}/${prefixlen}`)])),
    parents: new Map(links.filter((each) => each.link !== "").map((each) => [each.ifname, each.link])),
    mtus: new Map(links.filter(({ mtu }) => mtu > 0).map(({ ifname, mtu }) => [ifname, mtu])),
    routes: routes.filter(({ dst }) => dst !== "default" && dst !== "0.0.0.0/0"),
    helpers: links
      .filter((each) => each.ifalias.startsWith("decnet "))
      .map((each) => ({
        name: each.ifname,
        kind: each.linkinfo.info_kind,
        parent: each.link,
        owner: each.ifalias,
        isUp: each.flags.includes("UP"),
        addresses: ipv4(each),
        routes: routes.filter(({ dev, dst }) => dev === each.ifname && !dst.includes("/")).map(({ dst }) => dst),
      })),
  };
}

/** There is a loopback interface on every host, and a list without entries is a list: an empty text is one that was cut off. */
function parseWhole<Value>(schema: z.ZodType<Value>, what: string, json: string): Value {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw notObserved(`the list of the host's ${what} is cut off`, error);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw notObserved(`the list of the host's ${what} is not as iproute2 writes it`, parsed.error);
}

/**
 * The way to a LAN, out of all links. Undefined when the LAN needs no helper, or when the host has no address on the parent
 * interface: then it has no place on that LAN either.
 */
export function accessTo(lan: LanSpec, instance: string, links: ObservedLinks): ObservedAccess | undefined {
  const [hostAddress] = lan.parent === undefined || lan.driver === "bridge" ? [] : (links.addresses.get(lan.parent) ?? []);
  if (hostAddress === undefined) return undefined;
  const owner = helperOwner(instance, lan.name);
  const helper = links.helpers.find((each) => each.owner === owner);
  return { hostAddress, owner, helper, freeName: freeName(lan.driver, links.names) };
}

/** `decnet_macvlan0`, or the next number that is free; an interface name has at most 15 characters. */
function freeName(driver: string, taken: ReadonlySet<string>): string {
  for (let number = 0; ; number += 1) {
    const name = `${`decnet_${driver}`.slice(0, 15 - String(number).length)}${number}`;
    if (!taken.has(name)) return name;
  }
}
