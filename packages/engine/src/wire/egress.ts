import { isIPv4 } from "node:net";
import { create } from "@bufbuild/protobuf";
import type { Route } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { type EgressRule as EgressMessage, EgressRuleSchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { type EgressRule, egressRule, mostEgressRules, readCidr } from "../policy/egress.ts";
import type { AttachmentSpecs, RouteSpec } from "../spec.ts";
import { overlap } from "../tables/subnets.ts";

export function toEgressMessage(rules: readonly EgressRule[] = []): EgressMessage[] {
  return rules.map(({ cidr, protocol = "", port = 0 }) => create(EgressRuleSchema, { cidr, protocol, port }));
}

/** Empty and 0 are left out. */
export type EgressInput = Pick<EgressMessage, "cidr" | "protocol" | "port">;

/** Rules as requests and specs bring them; what is wrong with one is told with its field. */
export function readEgress(
  rules: readonly EgressInput[],
  at: string,
  problem: (field: string, description: string) => void,
): EgressRule[] {
  if (rules.length > mostEgressRules) problem(at, `at most ${mostEgressRules} rules`);
  return rules.slice(0, mostEgressRules).flatMap(({ cidr, protocol, port }, index): EgressRule[] => {
    const given = { cidr, protocol: protocol || undefined, port: port || undefined };
    const read = egressRule.safeParse(given);
    if (read.success) return [read.data];
    for (const { path, message } of read.error.issues) problem([`${at}[${index}]`, ...path.map(String)].join("."), message);
    return [];
  });
}

/** As many LANs as a topology has at most. */
const mostRoutes = 200;

export function readRoutes(
  routes: readonly Pick<Route, "to" | "via">[],
  attachments: AttachmentSpecs | undefined,
  check: (field: string, isFine: boolean, description: string) => void,
): RouteSpec[] {
  check("routes", routes.length <= mostRoutes, `at most ${mostRoutes} routes`);
  return routes.slice(0, mostRoutes).map(({ to, via }, index) => {
    const own = (attachments ?? []).map(({ lan }) => lan.subnet);
    check(`routes[${index}].to`, readCidr(to) === to, "is not an IPv4 network");
    check(`routes[${index}].to`, !own.some((subnet) => overlap(subnet, to)), "is a network that the decky is on");
    check(`routes[${index}].via`, isIPv4(via) && own.some((subnet) => overlap(subnet, via)), "is not a neighbour's address");
    return { to, via };
  });
}
