import { parseRange, reservedUse } from "@decnet/engine/tables/subnets";
import type { Design, TopologyDecky, TopologyLan } from "../../model/topology.ts";
import { parseSubnet } from "../addresses.ts";

/** Everything that can be wrong with a design. */
export const issueCodes = [
  "DMZ_MISSING",
  "DMZ_MULTIPLE",
  "DMZ_ORPHAN",
  "DECKY_ORPHAN",
  "LAN_NAME_DUP",
  "DECKY_NAME_DUP",
  "IP_UNKNOWN_LAN",
  "IP_OUT_OF_SUBNET",
  "IP_MALFORMED",
  "IP_COLLISION",
  "MAC_COLLISION",
  "SUBNET_MALFORMED",
  "SUBNET_OVERLAP",
  "UNKNOWN_SERVICE",
  "SERVICE_CFG_UNDECLARED",
  "GATEWAY_NOT_IN_DMZ",
  "PORT_COLLISION",
] as const;

export type IssueCode = (typeof issueCodes)[number];

/** What is wrong with a design. Only warnings let it be deployed. */
export interface Issue {
  readonly severity: "error" | "warning";
  readonly code: IssueCode;
  readonly message: string;
  /** What it is about: `lan dmz`, `decky web`. */
  readonly target: string;
  /** What to do about it. */
  readonly next: string;
}

/** Subnets that are not this topology's to use, with who has them. */
export interface TakenSubnet {
  readonly subnet: string;
  readonly holder: string;
}

/** What a design is checked against of a service. */
export interface OfferedService {
  readonly singleton: boolean;
  readonly ports: readonly { readonly number: number; readonly protocol: string }[];
  readonly fields: readonly { readonly key: string }[];
}

export interface ValidationContext {
  readonly catalog: { readonly services: ReadonlyMap<string, OfferedService> };
  readonly takenSubnets: readonly TakenSubnet[];
}

const error = (code: IssueCode, target: string, message: string, next: string): Issue => ({
  severity: "error",
  code,
  target,
  message,
  next,
});

/** Every problem of a design at once, in a stable order. Pure; linear in its size but for overlaps of subnets. */
export function validateDesign(design: Design, context: ValidationContext): Issue[] {
  return [
    ...dmzIssues(design),
    ...duplicates(design.lans.map(({ name }) => name)).map((name) =>
      error("LAN_NAME_DUP", `lan ${name}`, `two LANs are called ${name}`, "rename one of them"),
    ),
    ...duplicates(design.deckies.map(({ name }) => name)).map((name) =>
      error("DECKY_NAME_DUP", `decky ${name}`, `two deckies are called ${name}`, "rename one of them"),
    ),
    ...subnetIssues(design.lans, context.takenSubnets),
    ...addressIssues(design),
    ...design.deckies.flatMap((decky) => [...placeIssues(decky, design), ...serviceIssues(decky, context)]),
    ...reachIssues(design),
  ];
}

export function isDeployable(issues: readonly Issue[]): boolean {
  return issues.every(({ severity }) => severity !== "error");
}

function dmzIssues({ lans }: Design): Issue[] {
  const dmz = lans.filter(({ isDmz }) => isDmz);
  if (dmz.length === 0) return [error("DMZ_MISSING", "topology", "no LAN is the DMZ", "make one LAN the DMZ")];
  return dmz
    .slice(1)
    .map(({ name }) =>
      error("DMZ_MULTIPLE", `lan ${name}`, `${name} is a DMZ beside ${dmz[0]?.name}`, "let only one LAN be the DMZ"),
    );
}

function duplicates(names: readonly string[]): string[] {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const name of names) (seen.has(name) ? twice : seen).add(name);
  return [...twice];
}

function subnetIssues(lans: readonly TopologyLan[], taken: readonly TakenSubnet[]): Issue[] {
  const held: { readonly subnet: string; readonly holder: string; readonly first: number; readonly last: number }[] = [];
  for (const each of taken) {
    const range = parseRange(each.subnet);
    if (range !== undefined) held.push({ ...each, ...range });
  }
  const issues: Issue[] = [];
  for (const { name, subnet } of lans) {
    const target = `lan ${name}`;
    const range = parseSubnet(subnet) === undefined ? undefined : parseRange(subnet);
    const use = reservedUse(subnet);
    if (range === undefined) {
      const next = "give it a network of /16 to /29, such as 10.66.0.0/24";
      issues.push(error("SUBNET_MALFORMED", target, `${JSON.stringify(subnet)} is not an IPv4 network`, next));
      continue;
    }
    if (use !== undefined) issues.push(error("SUBNET_MALFORMED", target, `${subnet} ${use}`, "give it another network"));
    const other = held.find((each) => each.first <= range.last && range.first <= each.last);
    if (other !== undefined) {
      const message = `${subnet} overlaps ${other.subnet} of ${other.holder}`;
      issues.push(error("SUBNET_OVERLAP", target, message, "give it another network, or none to have one chosen"));
    }
    held.push({ subnet, holder: `the LAN ${name}`, ...range });
  }
  return issues;
}

function addressIssues({ deckies }: Design): Issue[] {
  const holders = new Map<string, string>();
  const macs = new Map<string, string>();
  return deckies.flatMap(({ name, attachments }) =>
    attachments.flatMap(({ lan, ip, mac }): Issue[] => {
      const place = `${lan} ${ip}`;
      const [holder, macHolder] = [holders.get(place), macs.get(`${lan} ${mac}`)];
      if (holder === undefined) holders.set(place, name);
      if (macHolder === undefined) macs.set(`${lan} ${mac}`, name);
      const next = "give one of them another address, or none to have one chosen";
      return [
        ...(holder === undefined
          ? []
          : [error("IP_COLLISION", `decky ${name}`, `${name} and ${holder} both have ${ip} on ${lan}`, next)]),
        ...(macHolder === undefined
          ? []
          : [error("MAC_COLLISION", `decky ${name}`, `${name} and ${macHolder} both have ${mac} on ${lan}`, next)]),
      ];
    }),
  );
}

function placeIssues({ name, attachments, forwards }: TopologyDecky, { lans }: Design): Issue[] {
  const target = `decky ${name}`;
  if (attachments.length === 0)
    return [error("DECKY_ORPHAN", target, `${name} is on no LAN`, "attach it to a LAN, or remove it")];
  const issues = attachments.flatMap(({ lan, ip }): Issue[] => {
    const found = lans.find((each) => each.name === lan);
    if (found === undefined)
      return [error("IP_UNKNOWN_LAN", target, `${name} is on the LAN ${lan}, which is not there`, "add the LAN, or detach it")];
    const subnet = parseSubnet(found.subnet);
    const range = parseRange(ip);
    if (range === undefined || range.first !== range.last)
      return [error("IP_MALFORMED", target, `${JSON.stringify(ip)} of ${name} is not an IPv4 address`, "give it another one")];
    if (subnet !== undefined && (!subnet.hasHost(ip) || ip === subnet.firstHost)) {
      const what = ip === subnet.firstHost ? `is the gateway of ${lan}` : `is not a host of ${found.subnet}`;
      return [error("IP_OUT_OF_SUBNET", target, `${ip} of ${name} ${what}`, "give it another one, or none")];
    }
    return [];
  });
  const again = duplicates(attachments.map(({ lan }) => lan)).map((lan) =>
    error("IP_COLLISION", target, `${name} is on the LAN ${lan} twice`, "detach it once"),
  );
  const isInDmz = attachments.some(({ lan }) => lans.some((each) => each.name === lan && each.isDmz));
  const isGateway = forwards && attachments.length === 1 && !isInDmz;
  return [
    ...issues,
    ...again,
    ...(isGateway
      ? [
          error(
            "GATEWAY_NOT_IN_DMZ",
            target,
            `${name} forwards, and is neither on the DMZ nor on two LANs`,
            "attach it to the DMZ or to a second LAN, or let it not forward",
          ),
        ]
      : []),
  ];
}

function serviceIssues({ name, services }: TopologyDecky, { catalog }: ValidationContext): Issue[] {
  const target = `decky ${name}`;
  const ports = new Map<string, string>();
  return services.flatMap(({ slug, config }): Issue[] => {
    const entry = catalog.services.get(slug);
    if (entry === undefined || entry.singleton) {
      const why = entry === undefined ? "is not in the catalog" : "runs once per host";
      return [error("UNKNOWN_SERVICE", target, `${slug} of ${name} ${why}`, "remove it, or choose another service")];
    }
    const keys = new Set(entry.fields.map(({ key }) => key));
    const undeclared = Object.keys(config).filter((key) => !keys.has(key));
    const clashes = entry.ports.flatMap(({ number, protocol }): Issue[] => {
      const port = `${number}/${protocol}`;
      const holder = ports.get(port);
      if (holder === undefined) ports.set(port, slug);
      return holder === undefined || holder === slug
        ? []
        : [error("PORT_COLLISION", target, `${slug} and ${holder} of ${name} both need ${port}`, "remove one of the two")];
    });
    return [
      ...clashes,
      ...undeclared.map((key) =>
        error("SERVICE_CFG_UNDECLARED", target, `${slug} of ${name} has no setting ${key}`, "take the setting out"),
      ),
    ];
  });
}

/** Every LAN can be reached from the DMZ through deckies that are on two LANs. */
function reachIssues({ lans, deckies }: Design): Issue[] {
  const dmz = lans.find(({ isDmz }) => isDmz);
  if (dmz === undefined) return [];
  const neighbours = new Map<string, Set<string>>();
  for (const { attachments } of deckies)
    for (const { lan } of attachments)
      for (const other of attachments) {
        const known = neighbours.get(lan) ?? new Set<string>();
        neighbours.set(lan, known.add(other.lan));
      }
  const reached = new Set([dmz.name]);
  const open = [dmz.name];
  for (let lan = open.pop(); lan !== undefined; lan = open.pop())
    for (const next of neighbours.get(lan) ?? [])
      if (!reached.has(next)) {
        reached.add(next);
        open.push(next);
      }
  return lans
    .filter(({ name }) => !reached.has(name))
    .map(({ name }) =>
      error(
        "DMZ_ORPHAN",
        `lan ${name}`,
        `nothing leads from the DMZ to ${name}`,
        `attach a decky of ${name} to a LAN that can be reached`,
      ),
    );
}
