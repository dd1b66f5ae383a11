import { isHeardOf } from "./claims.ts";
import type { Database } from "./database.ts";

/** That a master holds a host, and for which time in a row: counted up whenever another master gets it. */
export interface Lease {
  readonly host: string;
  readonly epoch: number;
}

/** A host that another master holds. */
export interface ForeignLease extends Lease {
  readonly instance: string;
  /** Where its agent connected from. */
  readonly address: string;
  readonly since: Date;
}

/** What was done for a host was not stored: another master has it since, and goes on from what is stored. */
export class LeaseLost extends Error {
  constructor(hosts: readonly string[]) {
    super(`another master has ${hosts.join(", ")} by now`);
  }
}

/** Which master holds which host. By the database's clock. */
export interface LeaseStore {
  /**
   * Takes a host for this master; `agent` tells the agent that serves it from every other one, and may move from one master to
   * another. Returns who holds the host instead, while that one is heard of.
   */
  take(host: string, by: { readonly instance: string; readonly agent: string; readonly address: string }): Promise<Taken>;
  /** Its connection is over. */
  release(host: string, instance: string): Promise<void>;
  /** Hosts that other masters hold, which are heard of. */
  others(instance: string): Promise<ForeignLease[]>;
  /** Who else holds a host, and with which agent. */
  holder(host: string, instance: string): Promise<{ readonly instance: string; readonly agent: string } | undefined>;
}

export type Taken = { readonly kind: "taken"; readonly epoch: number } | { readonly kind: "held"; readonly instance: string };

/** The row of a lease whose master is heard of. */
export const isHeld = (lease: string): string =>
  `(${lease}.held AND EXISTS (SELECT FROM masters WHERE masters.instance = ${lease}.instance AND ${isHeardOf("masters")}))`;

const take = {
  name: "decnet-lease-taken",
  text: `INSERT INTO host_leases AS lease (host, epoch, instance, held, agent, address, since)
    VALUES ($1, 1, $2, true, $3, $4, clock_timestamp())
    ON CONFLICT (host) DO UPDATE SET epoch = lease.epoch + CASE WHEN lease.instance = EXCLUDED.instance THEN 0 ELSE 1 END,
      instance = EXCLUDED.instance, held = true, agent = EXCLUDED.agent, address = EXCLUDED.address, since = EXCLUDED.since
    WHERE lease.instance = EXCLUDED.instance OR (lease.agent = EXCLUDED.agent AND lease.agent <> '') OR NOT ${isHeld("lease")}
    RETURNING epoch`,
};
const release = {
  name: "decnet-lease-released",
  text: "UPDATE host_leases SET held = false, since = clock_timestamp() WHERE host = $1 AND instance = $2 AND held",
};
const others = {
  name: "decnet-leases-of-others",
  text: `SELECT host, epoch, instance, address, since FROM host_leases AS lease WHERE instance <> $1 AND ${isHeld("lease")}`,
};
const holder = {
  name: "decnet-lease-holder",
  text: `SELECT instance, agent FROM host_leases AS lease WHERE host = $1 AND instance <> $2 AND ${isHeld("lease")}`,
};

export function createLeaseStore(database: Database): LeaseStore {
  const holderOf: LeaseStore["holder"] = async (host, instance) => (await database.run(holder, [host, instance]))[0] as never;
  return {
    async take(host, { instance, agent, address }) {
      const [taken] = await database.run<{ epoch: number }>(take, [host, instance, agent, address]);
      if (taken !== undefined) return { kind: "taken", epoch: taken.epoch };
      return { kind: "held", instance: (await holderOf(host, instance))?.instance ?? "" };
    },
    release: async (host, instance) => void (await database.run(release, [host, instance])),
    others: (instance) => database.run(others, [instance]),
    holder: holderOf,
  };
}
