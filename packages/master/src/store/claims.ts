import { type Database, runIn, type Tx } from "./database.ts";

/** A master and its own host, which no other drives. By the database's clock, which all masters share. */
export interface HostClaim {
  readonly host: string;
  /** Tells a data folder from every other one: its next master takes over at once. */
  readonly holder: string;
  /** Tells a run of a master from every other one. */
  readonly instance: string;
  /** Where it runs, for people. */
  readonly place: string;
  /** Where workers and other masters reach it, as host:port; empty while it does not listen for them. */
  readonly addresses?: readonly string[];
}

export interface HeldBy {
  readonly place: string;
  readonly since: Date;
  readonly seenMsAgo: number;
}

/** A master as the others see it. */
export interface KnownMaster {
  /** The name of its own host. */
  readonly host: string;
  readonly instance: string;
  readonly place: string;
  readonly addresses: readonly string[];
  /** Whether it was heard of lately. */
  readonly isThere: boolean;
  /** When it was heard of last, or stopped, and how long that was ago when it was looked up. */
  readonly heardAt: Date;
  readonly silentMs: number;
}

export interface ClaimStore {
  /** Takes the host, or says who has it. */
  take(claim: HostClaim): Promise<HeldBy | undefined>;
  /** Says that its master is still there, or takes what nobody has; returns who has it instead, if another one does. */
  renew(claim: HostClaim): Promise<HeldBy | undefined>;
  /** Its place stays known: workers come back to it. */
  release(claim: HostClaim): Promise<void>;
  /** All masters of the last days, by the names of their hosts. */
  masters(): Promise<KnownMaster[]>;
  /** False when a master is heard of by now, or forgotten; otherwise nothing is heard of it until the transaction ends. */
  lockSilent(tx: Tx, host: string): Promise<boolean>;
}

/** A master that was not heard of for so long has let go of its hosts. */
export const claimMs = 10_000;
/** Its address is told to workers for so long. */
const knownFor = "7 days";

/** Whether a master was heard of, by its row. */
export const isHeardOf = (row: string): string =>
  `abs(extract(epoch FROM clock_timestamp() - ${row}.seen_at)) * 1000 <= ${claimMs}`;

const put = (name: string, mayReplace: string) => ({
  name,
  text: `INSERT INTO masters AS held (host, holder, instance, place, addresses, since, seen_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp())
    ON CONFLICT (host) DO UPDATE SET holder = EXCLUDED.holder, instance = EXCLUDED.instance, place = EXCLUDED.place,
      addresses = EXCLUDED.addresses,
      since = CASE WHEN held.instance = EXCLUDED.instance THEN held.since ELSE EXCLUDED.since END, seen_at = EXCLUDED.seen_at
    WHERE ${mayReplace} OR NOT ${isHeardOf("held")}
    RETURNING host`,
});
const taken = put("decnet-claim-taken", "held.holder = EXCLUDED.holder");
const renewed = put("decnet-claim-renewed", "held.instance = EXCLUDED.instance");
const holder = {
  name: "decnet-claim-holder",
  text: `SELECT place, since, greatest(0, extract(epoch FROM clock_timestamp() - seen_at) * 1000)::float8 AS "seenMsAgo"
    FROM masters WHERE host = $1`,
};
const released = {
  name: "decnet-claim-released",
  text: `WITH let_go AS (
      UPDATE host_leases SET held = false, since = clock_timestamp() WHERE instance = $2 AND held
    ) UPDATE masters SET seen_at = 'epoch', since = clock_timestamp() WHERE host = $1 AND instance = $2`,
};
const known = {
  name: "decnet-masters",
  text: `WITH forgotten AS (
      DELETE FROM masters WHERE greatest(seen_at, since) < clock_timestamp() - interval '${knownFor}'
    ) SELECT host, instance, place, addresses, ${isHeardOf("masters")} AS "isThere", greatest(seen_at, since) AS "heardAt",
      (extract(epoch FROM clock_timestamp() - greatest(seen_at, since)) * 1000)::float8 AS "silentMs"
    FROM masters ORDER BY host`,
};
const silent = {
  name: "decnet-master-silent",
  text: `SELECT host FROM masters WHERE host = $1 AND NOT ${isHeardOf("masters")} FOR UPDATE`,
};

/** What a claim came to that was let go of while it was asked who has it. */
const goneSince = (): HeldBy => ({ place: "another master", since: new Date(), seenMsAgo: 0 });

export function createClaimStore(database: Database): ClaimStore {
  const write = async (statement: typeof taken, claim: HostClaim): Promise<HeldBy | undefined> => {
    const { host, addresses = [] } = claim;
    const [own] = await database.run(statement, [host, claim.holder, claim.instance, claim.place, addresses]);
    if (own !== undefined) return undefined;
    const [other] = await database.run<HeldBy>(holder, [host]);
    return other ?? goneSince();
  };
  return {
    take: (claim) => write(taken, claim),
    renew: (claim) => write(renewed, claim),
    release: async ({ host, instance }) => void (await database.run(released, [host, instance])),
    masters: () => database.run(known, []),
    lockSilent: async (tx, host) => (await runIn(tx, silent, [host])).length > 0,
  };
}
