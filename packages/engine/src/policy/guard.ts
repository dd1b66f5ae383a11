import type { DeckySpec, LanSpec, RouteSpec } from "../spec.ts";
import type { EgressRule } from "./egress.ts";

/**
 * What keeps a decky to itself: rules and routes in the network namespace of its base, where nothing that runs in the decky can
 * change them. What it was asked for it may answer; of itself it reaches its neighbours, what its topology leads to, and what it
 * was allowed by name. Pure.
 */
export interface GuardSpec {
  /** Replaces our table by the wanted one, in one transaction. */
  readonly rules: string;
  readonly routes: readonly RouteSpec[];
  /** A way to everywhere that is not among its routes is the engine's, and stays. */
  readonly keepsDefault: boolean;
  readonly forwards: boolean;
}

/** As the kernel has it. */
export interface SeenGuard {
  /** What our table is, without its counts; undefined when there is none. */
  readonly rules: string | undefined;
  /** Packets that were not let out since the table is there. */
  readonly denied: number;
  /** Those that lead through somebody. */
  readonly routes: readonly RouteSpec[];
  readonly forwards: boolean;
}

/** How tables were listed when they were put there: versions of `nft` write the same rules in different ways. */
export interface GuardNotes {
  readonly listedAs: (rules: string) => string | undefined;
  readonly isKnown: (listing: string) => boolean;
}

/** Of one decky. */
export interface ObservedGuard {
  readonly wanted: GuardSpec;
  /** Why it is not kept to itself, or does not reach what it should; empty when all is well, or its base does not run. */
  readonly flaw: string;
  /** Why nothing that is done here helps; empty when something does. */
  readonly unable: string;
  readonly denied: number;
}

export interface GuardContext {
  /** What the catalog allows a service to call. */
  readonly egressOf: (slug: string) => readonly EgressRule[];
  /** A network with machines that are not ours: they are nobody's neighbours. */
  readonly isShared: (lan: LanSpec) => boolean;
}

/** One for each namespace, so that it needs no other name. */
export const guardTable = "decnet-guard";

export function guardOf(spec: DeckySpec, { egressOf, isShared }: GuardContext): GuardSpec {
  const { attachments, forwards, routes = [], egress = [] } = spec;
  const own = attachments.filter(({ lan }) => !isShared(lan)).map(({ lan }) => lan.subnet);
  const reached = [...own, ...routes.map(({ to }) => to)];
  const named = spec.services.flatMap(({ slug }) => egressOf(slug).map((rule) => egressLine(rule, slug)));
  const allowed = [...named, ...egress.map((rule) => egressLine(rule, "this decky"))];
  return {
    rules: renderGuard(reached, own.length > 0, [...new Set(allowed)], forwards),
    routes: [...routes, ...defaultRoute(spec)],
    keepsDefault: spec.scope === "fleet",
    forwards,
  };
}

/** The engine made it, and answers to visitors of a DMZ go by it. What the fleet's LAN has for a gateway is not always ours. */
function defaultRoute({ scope, attachments }: DeckySpec): RouteSpec[] {
  const dmz = attachments.find(({ lan }) => lan.internal !== true);
  return scope === "fleet" || dmz === undefined ? [] : [{ to: anywhere, via: dmz.lan.gateway }];
}

const anywhere = "0.0.0.0/0";

function egressLine({ cidr, protocol, port }: EgressRule, whose: string): string {
  const what = protocol === undefined ? "" : port === undefined ? ` meta l4proto ${protocol}` : ` ${protocol} dport ${port}`;
  return `ip daddr ${cidr}${what} accept comment "allowed to ${whose}"`;
}

/**
 * What is refused goes nowhere, without an answer. Neighbour discovery makes responses possible on IPv6. Between its LANs only
 * what comes from one network of the topology and goes to another one passes, and only through a decky that forwards.
 */
function renderGuard(reached: readonly string[], hasOwn: boolean, allowed: readonly string[], forwards: boolean): string {
  const table = `inet ${guardTable}`;
  const set = `{ ${[...new Set(reached)].sort().join(", ")} }`;
  const output = [
    'oifname "lo" accept',
    "ct state established,related accept",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    ...(reached.length === 0 ? [] : [`ip daddr ${set} accept`]),
    ...(hasOwn ? ["ip6 daddr fe80::/10 accept"] : []),
    ...allowed,
    'counter comment "denied"',
  ];
  const forward = [...(forwards ? [`ip saddr ${set} ip daddr ${set} accept`] : []), 'counter comment "denied"'];
  const chain = (name: string, lines: readonly string[]) => [
    `  chain ${name} {`,
    `    type filter hook ${name} priority 0; policy drop;`,
    ...lines.map((line) => `    ${line}`),
    "  }",
  ];
  return [
    // Deleting what is not there would fail.
    `table ${table}`,
    `delete table ${table}`,
    `table ${table} {`,
    ...chain("output", output),
    ...chain("forward", forward),
    "}",
    "",
  ].join("\n");
}

/** Who counts further? */
const mostDenied = 2 ** 31 - 1;

/** Reads `nft -n list table`. */
export function readGuard(listing: string): { readonly rules: string; readonly denied: number } {
  const counts = [...listing.matchAll(/counter packets (\d+) bytes \d+ comment "denied"/g)];
  return {
    rules: listing
      .replaceAll(/counter packets \d+ bytes \d+/g, "counter")
      .replaceAll(/\s+/g, " ")
      .trim(),
    denied: Math.min(
      counts.reduce((sum, [, packets]) => sum + Number(packets), 0),
      mostDenied,
    ),
  };
}

/** Reads `/proc/<pid>/net/route`: its numbers are in the machine's own order of bytes, which is the little end first. */
export function parseRoutes(table: string): RouteSpec[] {
  return table
    .split("\n")
    .slice(1)
    .flatMap((line): RouteSpec[] => {
      const [, to = "", via = "", , , , , mask = ""] = line.split("\t");
      if (![to, via, mask].every((each) => /^[0-9A-F]{8}$/.test(each)) || via === "00000000") return [];
      const bits = Number.parseInt(mask, 16).toString(2).replaceAll("0", "").length;
      return [{ to: `${addressOf(to)}/${bits}`, via: addressOf(via) }];
    });
}

function addressOf(hex: string): string {
  return (hex.match(/../g) ?? [])
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join(".");
}

export interface RouteDifference {
  readonly missing: readonly RouteSpec[];
  readonly surplus: readonly RouteSpec[];
}

export function differRoutes(
  { routes: wanted, keepsDefault }: Pick<GuardSpec, "routes" | "keepsDefault">,
  seen: readonly RouteSpec[],
): RouteDifference {
  const text = ({ to, via }: RouteSpec) => `${to} ${via}`;
  const [there, asked] = [new Set(seen.map(text)), new Set(wanted.map(text))];
  const targets = new Set(wanted.map(({ to }) => to));
  return {
    missing: wanted.filter((each) => !there.has(text(each))),
    // One that leads elsewhere is replaced by the wanted one.
    surplus: seen.filter((each) => !asked.has(text(each)) && !targets.has(each.to) && !(keepsDefault && each.to === anywhere)),
  };
}

/** Why a decky is not as its guard wants it; empty when it is. */
export function judgeGuard(wanted: GuardSpec, seen: SeenGuard, notes: GuardNotes): string {
  const { missing, surplus } = differRoutes(wanted, seen.routes);
  const forwarding = wanted.forwards ? "it does not forward" : "it forwards, and should not";
  return [
    ...rulesFlaw(wanted, seen, notes),
    ...listed("no route to", missing),
    ...listed("a route that is not its own to", surplus),
    ...(seen.forwards === wanted.forwards ? [] : [forwarding]),
  ].join("; ");
}

function rulesFlaw({ rules: wanted }: GuardSpec, { rules }: SeenGuard, { listedAs, isKnown }: GuardNotes): string[] {
  if (rules === undefined) return ["nothing keeps it from calling out"];
  if (listedAs(wanted) === rules) return [];
  return [isKnown(rules) ? "it is to reach something else" : "the rules about what it may reach were changed"];
}

function listed(what: string, routes: readonly RouteSpec[]): string[] {
  if (routes.length === 0) return [];
  const shown = routes.slice(0, 3).map(({ to, via }) => `${to} via ${via}`);
  const more = routes.length > shown.length ? ` and ${routes.length - shown.length} more` : "";
  return [`${what} ${shown.join(", ")}${more}`];
}
