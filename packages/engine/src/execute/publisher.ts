import type { Exclusive } from "@decnet/common/runtime/exclusive";
import { createRounds } from "@decnet/common/runtime/rounds";
import { observeHostListeners } from "../observe/host-listeners.ts";
import { observeOwnAddresses } from "../observe/interfaces.ts";
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
import { type UserChain, userChain } from "../policy/user-chain.ts";
import type { Scope } from "../spec.ts";
import { filterCommandMs, filterFailed, runFilter } from "./packet-filter.ts";
import { iptables, listUserChain, rulesToChange } from "./user-chain.ts";

/** Ports of gateways on the host, through `nft` and `iptables`. Every change may be repeated. */
export interface Publisher {
  look(): PublicationsLook;
  /** Throws APPLY_FAILED. */
  change(todo: PublicationsToDo, signal: AbortSignal): Promise<void>;
}

/** Looks at several deckies of a host at one moment. */
export interface PublicationsLook {
  /** The engine's chain at that moment. */
  chain(): Promise<UserChain>;
  /** All that is published on the host, by this installation. Throws NOT_OBSERVED. */
  there(): Promise<readonly Publication[]>;
  /** What a decky that wants these has to know; undefined for one of the fleet, which publishes nothing. Throws NOT_OBSERVED. */
  of(decky: { readonly scope: Scope }, wanted: readonly Publication[]): Promise<ObservedPublications | undefined>;
}

interface Rules {
  /** Undefined: there is no `nft` on this host. */
  readonly table: Pick<ObservedPublications, "there" | "isAsMade"> | undefined;
  readonly chain: UserChain;
}

/** `oneByOne`: whoever looks at the engine's chain, or changes it, takes turns. */
export function createPublisher(instance: string, oneByOne: Exclusive): Publisher {
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

  const judge = ({ table: listed, chain }: Rules): Omit<ObservedPublications, "addresses" | "listeners"> => {
    const noWay = chain.kind === "listed" ? "" : `${chain.why}; ports cannot be published`;
    const unable =
      listed === undefined
        ? "nft, which publishes ports of gateways, is not on this host: install it (apt-get install nftables)"
        : noWay;
    const passed = new Set(chain.kind === "listed" ? passedBy(chain.rules) : []);
    return { unable, there: listed?.there ?? [], isAsMade: listed?.isAsMade ?? false, passed };
  };
  /** Deckies that are applied side by side are served by one look. Never in the middle of a change. */
  const listTogether = createRounds<undefined, Rules>({
    most: Number.POSITIVE_INFINITY,
    mayRepeat: () => false,
    async serve(calls) {
      const signal = AbortSignal.timeout(2 * filterCommandMs);
      const [table, chain] = await oneByOne.run("", signal, () => Promise.all([list(signal), listUserChain(signal)]));
      return calls.map(() => ({ table, chain }));
    },
  });

  return {
    look() {
      let rules: Promise<Rules> | undefined;
      const seen = () => {
        rules ??= listTogether(undefined);
        return rules;
      };
      return {
        chain: async () => (await seen()).chain,
        there: async () => (await seen()).table?.there ?? [],
        async of({ scope }, wanted) {
          if (scope === "fleet") return undefined;
          const around = judge(await seen());
          // Who wants to publish nothing need not know where: the kernel walks all sockets of the host for that.
          if (wanted.length === 0) return { ...around, addresses: new Set(), listeners: [] };
          const ports = new Set(wanted.map(({ port, protocol }) => `${port}/${protocol}`));
          return { ...around, addresses: observeOwnAddresses(), listeners: await observeHostListeners(ports) };
        },
      };
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
