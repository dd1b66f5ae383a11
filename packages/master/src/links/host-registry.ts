import { AppError } from "@decnet/common/errors/app-error";
import type { Whereabouts } from "../model/host.ts";
import type { Lease } from "../store/leases.ts";
import type { HostLink } from "./host-link.ts";
import type { LocalPresence } from "./local-presence.ts";

/** A worker that is connected to this master now. */
export interface ConnectedHost {
  readonly id: string;
  /** Of the certificate that the connection was opened with. */
  readonly serial: string;
  readonly link: HostLink;
  /** Of the lease that this master has as long as nobody else gets the host. */
  readonly epoch: number;
  readonly address: string;
  readonly since: Date;
  /** When the agent last checked all of its host for drift, as it reported on this connection. */
  checkedAt(): Date | undefined;
  noteCheck(at: Date): void;
  /** Has the agent report now: something is to be told in answer. */
  reportNow(): void;
  /** Asks the agent over the connection; false when it does not answer in time. */
  answers(): Promise<boolean>;
  close(): void;
}

/** What is known of hosts that other masters hold. */
export interface Elsewhere {
  /** What the own hosts of masters are called. */
  readonly hostNames: readonly string[];
  holder(host: string): HeldElsewhere | undefined;
  /** The way to a host through the master that holds it. Its calls throw HOST_UNREACHABLE when there is none. */
  link(host: string, holder: HeldElsewhere): HostLink;
}

export interface HeldElsewhere {
  /** The name of that master's own host. */
  readonly master: string;
  readonly place: string;
  readonly addresses: readonly string[];
  /** Where the host's agent connected from. */
  readonly address: string;
  readonly since: Date;
}

/**
 * Which hosts can be reached now: the master's own while its engine answers, workers while their connection lives, and what other
 * masters have of both.
 */
export interface HostRegistry {
  /** The name of the master's own host. */
  readonly own: string;
  /** Whether it is the own host of a master, this one or another. */
  isMasters(name: string): boolean;
  readonly masters: readonly string[];
  /** Also through another master, for whatever stores nothing. Throws HOST_UNREACHABLE. */
  link(name: string): HostLink;
  isReachable(name: string): boolean;
  whereIs(name: string): Whereabouts;
  /** Of a host that other masters hold, which of them does. */
  heldBy(name: string): HeldElsewhere | undefined;
  /** With what this master had a host last: what is done for the host counts while nobody else got it since. */
  leaseOf(name: string): Lease;
  /** As it is now and not as it was last seen. Throws HOST_UNREACHABLE. */
  requireReachable(name: string): Promise<void>;
  connected(name: string): ConnectedHost | undefined;
  attach(name: string, host: ConnectedHost): void;
  /** Takes a connection out if it is still the present one. */
  detach(name: string, host: ConnectedHost): void;
  /** When a host that is away was last reached, in this master's life. */
  lostAt(name: string): Date | undefined;
  /** What is stored of a host's deckies is not what its agent said last: it is to report everything again. */
  wantResync(name: string): void;
  /** Whether that was wanted since the last time. */
  takeResync(name: string): boolean;
  readonly names: readonly string[];
}

export interface HostRegistryOptions {
  readonly local: Pick<LocalPresence, "host" | "isThere" | "lostAt" | "look">;
  /** Of the master's own host. */
  readonly ownEpoch: number;
  readonly elsewhere: Elsewhere;
  readonly onAttached: (name: string) => void;
  readonly onDetached: (name: string) => void;
}

export function createHostRegistry({ local, ownEpoch, elsewhere, onAttached, onDetached }: HostRegistryOptions): HostRegistry {
  const hosts = new Map<string, ConnectedHost>();
  const lost = new Map<string, Date>();
  const stale = new Set<string>();
  const own = local.host.name;
  const epochs = new Map([[own, ownEpoch]]);
  const link = (name: string): HostLink => {
    if (name === own) {
      const since = local.lostAt();
      if (since === undefined) return local.host;
      throw new AppError("HOST_UNREACHABLE", `the engine of host ${own} does not answer since ${since.toISOString()}`, {
        metadata: { host: own },
        retryAfterMs: 5_000,
      });
    }
    const host = hosts.get(name);
    if (host !== undefined) return host.link;
    const holder = elsewhere.holder(name);
    if (holder !== undefined) return elsewhere.link(name, holder);
    const since = lost.get(name);
    const silence = since === undefined ? "" : `, silent since ${since.toISOString()}`;
    throw new AppError("HOST_UNREACHABLE", `host ${name} is not connected${silence}`, {
      metadata: { host: name },
      retryAfterMs: 5_000,
    });
  };
  const whereIs = (name: string): Whereabouts => {
    if (name === own) return local.isThere() ? "here" : "away";
    if (hosts.has(name)) return "here";
    return elsewhere.holder(name) === undefined ? "away" : "elsewhere";
  };
  return {
    own,
    isMasters: (name) => elsewhere.hostNames.includes(name),
    get masters() {
      return elsewhere.hostNames;
    },
    link,
    isReachable: (name) => whereIs(name) !== "away",
    whereIs,
    heldBy: (name) => (whereIs(name) === "elsewhere" ? elsewhere.holder(name) : undefined),
    // No master has a host in a time before the first.
    leaseOf: (host) => ({ host, epoch: epochs.get(host) ?? 0 }),
    async requireReachable(name) {
      if (name === own) await local.look();
      link(name);
    },
    connected: (name) => hosts.get(name),
    attach(name, host) {
      hosts.set(name, host);
      epochs.set(name, host.epoch);
      lost.delete(name);
      if (stale.has(name)) host.reportNow();
      onAttached(name);
    },
    detach(name, host) {
      if (hosts.get(name) !== host) return;
      hosts.delete(name);
      lost.set(name, new Date());
      onDetached(name);
    },
    lostAt: (name) => (name === own ? local.lostAt() : lost.get(name)),
    wantResync(name) {
      stale.add(name);
      hosts.get(name)?.reportNow();
    },
    takeResync: (name) => stale.delete(name),
    get names() {
      return [own, ...hosts.keys()];
    },
  };
}
