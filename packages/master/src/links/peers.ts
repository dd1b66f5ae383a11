import type { ClaimStore, KnownMaster } from "../store/claims.ts";
import { claimMs } from "../store/claims.ts";
import type { ForeignLease, LeaseStore } from "../store/leases.ts";
import type { HeldElsewhere } from "./host-registry.ts";

/** The other masters of this database, and what they hold, as it was looked up a moment ago. */
export interface Peers {
  /** Those that are heard of. */
  readonly others: readonly KnownMaster[];
  /** All of the last days, this one among them. */
  readonly known: readonly KnownMaster[];
  /** The names of the own hosts of all masters of the last days, this one's among them. */
  readonly hostNames: readonly string[];
  /** Where masters are reached, this one first. */
  addresses(own: readonly string[]): string[];
  holder(host: string): HeldElsewhere | undefined;
  /** Whether a run of a master is under way, or may be: a database that was away says nothing about masters for a while. */
  mayLive(instance: string): boolean;
  /** Whether this master says what one of them has to say: of masters and hosts that were heard of all the time. */
  isSpeaker(): boolean;
  /** Looks now: at the masters, and, when those changed or it was wanted, at their hosts. */
  look(): Promise<void>;
  /** What others hold has changed: looks now, and later when that fails. */
  wantLeases(): Promise<void>;
  /** Called after a look that found masters gone, or come, or to be reached somewhere else. */
  onChange(listener: () => void): void;
}

export interface PeersOptions {
  readonly claims: Pick<ClaimStore, "masters">;
  readonly leases: Pick<LeaseStore, "others">;
  readonly own: { readonly host: string; readonly instance: string };
}

/** So long nothing is overheard without being looked up. */
const leasesMs = 10_000;
const mostAddresses = 16;

export function createPeers({ claims, leases, own }: PeersOptions): Peers {
  let known: readonly KnownMaster[] = [];
  let others: readonly KnownMaster[] = [];
  let held = new Map<string, ForeignLease>();
  let leasesAt = Number.NEGATIVE_INFINITY;
  let lookedAt = Number.NEGATIVE_INFINITY;
  /** Since when every look came in time. */
  let steadySince = Number.POSITIVE_INFINITY;
  const listeners = new Set<() => void>();
  const masterOf = (instance: string) => others.find((other) => other.instance === instance);
  const lookAtLeases = async () => {
    leasesAt = performance.now();
    const rows = others.length === 0 ? [] : await leases.others(own.instance);
    held = new Map(rows.map((lease) => [lease.host, lease]));
  };
  const peers: Peers = {
    get others() {
      return others;
    },
    get known() {
      return known;
    },
    get hostNames() {
      return [...new Set([own.host, ...known.map(({ host }) => host)])];
    },
    addresses: (mine) =>
      [...new Set([...mine, ...known.filter(({ host }) => host !== own.host).flatMap(({ addresses }) => addresses)])].slice(
        0,
        mostAddresses,
      ),
    holder(host) {
      const lease = held.get(host);
      const master = lease === undefined ? undefined : masterOf(lease.instance);
      if (lease === undefined || master === undefined) return undefined;
      const { place, addresses } = master;
      return { master: master.host, place, addresses, address: lease.address, since: lease.since };
    },
    mayLive(instance) {
      if (instance === own.instance) return true;
      const master = known.find((each) => each.instance === instance);
      return master !== undefined && (master.isThere || performance.now() - steadySince < claimMs);
    },
    isSpeaker: () =>
      others.every(({ instance }) => own.instance < instance) && (known.length <= 1 || performance.now() - steadySince > claimMs),
    async look() {
      const now = performance.now();
      if (now - lookedAt > claimMs / 2) steadySince = now;
      const before = textOf(others);
      known = await claims.masters();
      others = known.filter(({ isThere, instance }) => isThere && instance !== own.instance);
      lookedAt = performance.now();
      const isChanged = textOf(others) !== before;
      if (isChanged || (others.length > 0 && now - leasesAt > leasesMs)) await lookAtLeases();
      if (isChanged) for (const listener of listeners) listener();
    },
    wantLeases: () =>
      lookAtLeases().catch(() => {
        leasesAt = Number.NEGATIVE_INFINITY;
      }),
    onChange: (listener) => void listeners.add(listener),
  };
  return peers;
}

function textOf(masters: readonly KnownMaster[]): string {
  return masters.map(({ instance, addresses }) => [instance, ...addresses].join(" ")).join();
}
