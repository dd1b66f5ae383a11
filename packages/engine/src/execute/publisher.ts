import { createExclusive } from "@decnet/common/runtime/exclusive";
import { createRounds } from "@decnet/common/runtime/rounds";
import type { ObservedLinks } from "../observe/host-access.ts";
import { observeHostListeners } from "../observe/host-listeners.ts";
import { notObserved } from "../observe/not-observed.ts";
import type { ObservedPublications, Publication } from "../policy/publication.ts";
import {
  type PublicationsToDo,
  publicationKey,
  publicationTable,
  readPublications,
  removePublications,
  renderPublications,
} from "../policy/published.ts";
import { userChain } from "../policy/user-chain.ts";
import { filterCommandMs, filterFailed, runFilter } from "./packet-filter.ts";
import { iptables, listUserChain, rulesToChange } from "./user-chain.ts";

/** Ports of gateways on the host, through `nft` and `iptables`. Every change may be repeated. */
export interface Publisher {
  /** Throws NOT_OBSERVED. */
  observe(links: ObservedLinks, ports: ReadonlySet<string>): Promise<ObservedPublications>;
  /** Throws APPLY_FAILED. */
  change(todo: PublicationsToDo, signal: AbortSignal): Promise<void>;
}

export function createPublisher(instance: string): Publisher {
  const oneByOne = createExclusive(1);
  const table = publicationTable(instance);
  const comment = `decnet-${instance}`;

  const list = async (signal: AbortSignal) => {
    const listed = await runFilter("nft", ["-n", "list", "table", "ip", table], signal);
    if (listed === undefined) return undefined;
    if (listed.exitCode === 0) return readPublications(listed.stdout);
    if (/No such file or directory/.test(listed.tail.join(" "))) return { there: [], isAsMade: false };
    throw notObserved(`the table ${table} of nftables: ${listed.tail.join(" ")}`);
  };

  /** An address once for each rule that lets its visitors through. */
  const passedBy = (rules: string): string[] => {
    const own = rules.split("\n").filter((line) => line.includes(`"${comment}"`) || line.includes(`--comment ${comment} `));
    return own.flatMap((line) => /--ctorigdst ([\d.]+)/.exec(line)?.[1] ?? []);
  };

  const pass = async (verb: "-I" | "-D", address: string, signal: AbortSignal): Promise<void> => {
    const match = ["-m", "conntrack", "--ctstate", "DNAT", "--ctorigdst", address, "-m", "comment", "--comment", comment];
    const result = await iptables([verb, userChain, ...match, "-j", "ACCEPT"], signal);
    if (result?.exitCode !== 0) throw filterFailed("iptables", result);
  };

  const observe = async (ports: ReadonlySet<string>, signal: AbortSignal): Promise<Omit<ObservedPublications, "addresses">> => {
    const [listed, chain, listeners] = await Promise.all([list(signal), listUserChain(signal), observeHostListeners(ports)]);
    const noWay = chain.kind === "listed" ? "" : `${chain.why}; ports cannot be published`;
    const unable =
      listed === undefined
        ? "nft, which publishes ports of gateways, is not on this host: install it (apt-get install nftables)"
        : noWay;
    const passed = new Set(chain.kind === "listed" ? passedBy(chain.rules) : []);
    return { unable, there: listed?.there ?? [], isAsMade: listed?.isAsMade ?? false, passed, listeners };
  };
  /** Deckies that are applied side by side are served by one look. */
  const observeTogether = createRounds<ReadonlySet<string>, Omit<ObservedPublications, "addresses">>({
    most: Number.POSITIVE_INFINITY,
    mayRepeat: () => false,
    async serve(wanted) {
      const signal = AbortSignal.timeout(2 * filterCommandMs);
      const all = new Set(wanted.flatMap((ports) => [...ports]));
      const seen = await oneByOne.run("", signal, () => observe(all, signal));
      return wanted.map((ports) => ({ ...seen, listeners: seen.listeners.filter(({ port }) => ports.has(port)) }));
    },
  });

  return {
    async observe(links, ports) {
      return { ...(await observeTogether(ports)), addresses: new Set([...links.addresses.values()].flat()) };
    },
    change: ({ add, remove }, signal) =>
      oneByOne.run("", signal, async () => {
        const before = (await list(signal))?.there ?? [];
        // What went meanwhile cannot be deleted once more.
        const going = before.filter((known) => remove.some((each) => isSame(known, each)));
        const left = [...before.filter((known) => !going.includes(known)), ...add];
        const wanted = new Set(left.map(({ address }) => address));
        const there = passedBy(await rulesToChange(signal));
        // The port itself goes last: while it is there somebody plans that all of this is removed, also after a crash in between.
        for (const address of there) if (!wanted.has(address)) await pass("-D", address, signal);
        const rules = left.length === 0 ? removePublications(instance) : renderPublications(instance, { add, remove: going });
        const done = await runFilter("nft", [rules], signal);
        if (done?.exitCode !== 0) throw filterFailed("nft", done);
        for (const address of wanted) if (!there.includes(address)) await pass("-I", address, signal);
      }),
  };
}

function isSame(one: Publication, other: Publication): boolean {
  return publicationKey(one) === publicationKey(other) && one.to === other.to && one.decky === other.decky;
}
