import type { LeaseStore, Taken } from "../store/leases.ts";

/** The hosts of this master, as its database knows them: one after the other for each host. */
export interface HostLeases {
  take(host: string, agent: string, address: string): Promise<Taken>;
  /** In the background, unless the host is connected again by then; what fails is made good by `tidy`. */
  release(host: string): void;
  /** Lets go of hosts that could not be let go of when their connection ended. */
  tidy(): void;
}

export interface HostLeasesOptions {
  readonly store: Pick<LeaseStore, "take" | "release">;
  readonly instance: string;
  readonly isConnected: (host: string) => boolean;
}

export function createHostLeases({ store, instance, isConnected }: HostLeasesOptions): HostLeases {
  const turns = new Map<string, Promise<unknown>>();
  const left = new Set<string>();
  const inTurn = <T>(host: string, work: () => Promise<T>): Promise<T> => {
    const turn = (turns.get(host) ?? Promise.resolve()).then(work, work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    turns.set(host, settled);
    void settled.then(() => turns.get(host) === settled && turns.delete(host));
    return turn;
  };
  const release = (host: string) => {
    left.add(host);
    const work = async () => {
      if (!isConnected(host)) await store.release(host, instance);
      left.delete(host);
    };
    void inTurn(host, work).catch(() => undefined);
  };
  return {
    take: (host, agent, address) => inTurn(host, () => store.take(host, { instance, agent, address })),
    release,
    tidy() {
      for (const host of left) if (!turns.has(host)) release(host);
    },
  };
}
