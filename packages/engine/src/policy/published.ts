import type { Draft } from "../plan/plan.ts";
import type { ObservedPublications, Publication } from "./publication.ts";

/**
 * Ports of gateways that the host hands on to them: rules of ours on the host, so that neither the base nor its services are
 * touched when one comes or goes, and the decoy sees its visitor's own address. Pure.
 */

export function publicationKey({ address, port, protocol }: Pick<Publication, "address" | "port" | "protocol">): string {
  return `${address} ${port}/${protocol}`;
}

export interface PublicationsToDo {
  readonly add: readonly Publication[];
  readonly remove: readonly Publication[];
}

/** What is to be done about one decky's publications. */
export function differPublications(
  wanted: readonly Publication[],
  decky: string,
  seen: ObservedPublications | undefined,
): PublicationsToDo {
  if (seen === undefined) return { add: [], remove: [] };
  const whole = (each: Publication) => `${publicationKey(each)} ${each.to}`;
  const keys = new Set(wanted.map(whole));
  const own = seen.there.filter((each) => each.decky === decky);
  const there = new Set(own.map(whole));
  const isWhole = seen.isAsMade && wanted.every(({ address }) => seen.passed.has(address));
  return {
    add: wanted.filter((each) => !isWhole || !there.has(whole(each))),
    remove: own.filter((each) => !keys.has(whole(each))),
  };
}

/** A port that the host, or another gateway, uses is never taken from them: an operator would be locked out of his own host. */
export function blockPublications({ add }: PublicationsToDo, seen: ObservedPublications | undefined): Draft[] {
  if (add.length === 0 || seen === undefined) return [];
  const blocked = (target: string, cause: string): Draft => ({ verb: "blocked", target, service: "", cause });
  if (seen.unable !== "") return [blocked(add[0]?.address ?? "", seen.unable)];
  return add.flatMap((each): Draft[] => {
    const { address, port, protocol, decky } = each;
    const name = `${port}/${protocol}`;
    if (!seen.addresses.has(address)) return [blocked(address, `${address} is not an address of this host`)];
    const other = seen.there.find((known) => publicationKey(known) === publicationKey(each) && known.decky !== decky);
    if (other !== undefined)
      return [blocked(name, `PORT_CONFLICT: ${name} of ${address} is published for ${other.decky} already`)];
    const listener = seen.listeners.find((known) => known.port === name && (known.address === "" || known.address === address));
    if (listener === undefined) return [];
    return [blocked(name, `PORT_CONFLICT: ${name} of ${address} is used by ${listener.holder} of this host`)];
  });
}

/** Closed before anything else, so that nobody finds a door with nothing behind it. */
export function planClosing({ remove }: PublicationsToDo, cause: string): Draft[] {
  if (remove.length === 0) return [];
  return [{ verb: "unpublish", target: listed(remove), service: "", cause, publications: remove }];
}

/** Opened when everything behind it runs. */
export function planOpening({ add }: PublicationsToDo): Draft[] {
  if (add.length === 0) return [];
  return [{ verb: "publish", target: listed(add), service: "", cause: "visitors do not get there", publications: add }];
}

/** What is wrong with a decky's publications, for people. */
export function publicationTroubles({ add, remove }: PublicationsToDo): string[] {
  return [
    ...(add.length === 0 ? [] : [`not published: ${listed(add)}`]),
    ...(remove.length === 0 ? [] : [`published and no longer wanted: ${listed(remove)}`]),
  ];
}

function listed(publications: readonly Publication[]): string {
  return [...new Set(publications.map(({ address }) => address))]
    .map((address) => {
      const ports = publications.filter((each) => each.address === address).map(({ port, protocol }) => `${port}/${protocol}`);
      return `${address}:${ports.join(",")}`;
    })
    .join(" ");
}

export function publicationTable(instance: string): string {
  return `decnet-published-${instance.replaceAll(/[^A-Za-z0-9_-]/g, "_")}`;
}

const chains = [
  ["visitors", "prerouting", "dstnat - 1"],
  ["own", "output", "-101"],
] as const;

/**
 * One transaction: the table is there with its rules, some ports are added and some are not there any more. Deckies have no
 * business with the addresses of their host: what comes from a bridge of the engine passes by.
 */
export function renderPublications(instance: string, { add, remove }: PublicationsToDo): string {
  const table = `ip ${publicationTable(instance)}`;
  const key = ({ address, port, decky }: Publication) => `${address} . ${port} comment "${decky}"`;
  const elements = (verb: string, all: readonly Publication[], text: (each: Publication) => string) =>
    (["tcp", "udp"] as const).flatMap((protocol) => {
      const of = all.filter((each) => each.protocol === protocol).map(text);
      return of.length === 0 ? [] : [`${verb} element ${table} ${protocol}_ports { ${of.join(", ")} }`];
    });
  return [
    `table ${table} {`,
    ...["tcp", "udp"].map((name) => ` map ${name}_ports { type ipv4_addr . inet_service : ipv4_addr . inet_service; }`),
    ...chains.map(([name, hook, priority]) => ` chain ${name} { type nat hook ${hook} priority ${priority}; policy accept; }`),
    "}",
    ...chains.flatMap(([name]) => [
      `flush chain ${table} ${name}`,
      ...(name === "visitors" ? [`add rule ${table} ${name} iifname { "br-*", "docker0" } accept`] : []),
      ...["tcp", "udp"].map(
        (protocol) => `add rule ${table} ${name} dnat ip to ip daddr . ${protocol} dport map @${protocol}_ports`,
      ),
    ]),
    ...elements("delete", remove, (each) => `${key(each)} : ${each.to} . ${each.port}`),
    ...elements("add", add, (each) => `${key(each)} : ${each.to} . ${each.port}`),
    "",
  ].join("\n");
}

/** The table goes with the last port, whether or not it was there. */
export function removePublications(instance: string): string {
  const table = `ip ${publicationTable(instance)}`;
  return `add table ${table}\ndelete table ${table}\n`;
}

/** Reads `nft -n list table`: its ports, and whether its rules are all there. */
export function readPublications(listing: string): Pick<ObservedPublications, "there" | "isAsMade"> {
  const there = (["tcp", "udp"] as const).flatMap((protocol) => {
    const map = new RegExp(`map ${protocol}_ports \\{([^}]*\\{)?([^}]*)\\}`).exec(listing)?.[2] ?? "";
    return [...map.matchAll(/([\d.]+) \. (\d+) comment "([^"]*)" : ([\d.]+) \. \d+/g)].map(
      ([, address = "", port = "", decky = "", to = ""]): Publication => ({ address, port: Number(port), protocol, to, decky }),
    );
  });
  const rules = ["tcp", "udp"].map((protocol) => listing.split(`dport map @${protocol}_ports`).length - 1);
  return { there, isAsMade: rules.every((count) => count === chains.length) && listing.includes('"br-*"') };
}
