import { AppError } from "@decnet/common/errors/app-error";
import type { HostLink } from "./host-link.ts";
import type { LocalPresence } from "./local-presence.ts";

/** A worker that is connected to this master now. */
export interface ConnectedHost {
  readonly id: string;
  /** Of the certificate that the connection was opened with. */
  readonly serial: string;
  readonly link: HostLink;
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

/** Which hosts can be reached now: the master's own while its engine answers, workers while their connection lives. */
export interface HostRegistry {
  /** Throws HOST_UNREACHABLE. */
  link(name: string): HostLink;
  isReachable(name: string): boolean;
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
  readonly onAttached: (name: string) => void;
  readonly onDetached: (name: string) => void;
}

export function createHostRegistry({ local, onAttached, onDetached }: HostRegistryOptions): HostRegistry {
  const hosts = new Map<string, ConnectedHost>();
  const lost = new Map<string, Date>();
  const stale = new Set<string>();
  const own = local.host.name;
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
    const since = lost.get(name);
    const silence = since === undefined ? "" : `, silent since ${since.toISOString()}`;
    throw new AppError("HOST_UNREACHABLE", `host ${name} is not connected${silence}`, {
      metadata: { host: name },
      retryAfterMs: 5_000,
    });
  };
  return {
    link,
    isReachable: (name) => (name === own ? local.isThere() : hosts.has(name)),
    async requireReachable(name) {
      if (name === own) await local.look();
      link(name);
    },
    connected: (name) => hosts.get(name),
    attach(name, host) {
      hosts.set(name, host);
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
