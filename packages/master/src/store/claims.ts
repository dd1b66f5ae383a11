import type { Database } from "./database.ts";

/** Which master drives a host. By the database's clock, which all masters share. */
export interface HostClaim {
  readonly host: string;
  /** Tells a data folder from every other one: its next master takes over at once. */
  readonly holder: string;
  /** Tells a run of a master from every other one. */
  readonly instance: string;
  /** Where it runs, for people. */
  readonly place: string;
}

export interface HeldBy {
  readonly place: string;
  readonly since: Date;
  readonly seenMsAgo: number;
}

export interface ClaimStore {
  /** Takes the host, or says who has it. */
  take(claim: HostClaim): Promise<HeldBy | undefined>;
  /** Says that its master is still there, or takes what nobody has; returns who has it instead, if another one does. */
  renew(claim: HostClaim): Promise<HeldBy | undefined>;
  release(claim: HostClaim): Promise<void>;
}

/** A master that was not heard of for so long has let go of its host. */
export const claimMs = 15_000;

const put = (name: string, mayReplace: string) => ({
  name,
  text: `INSERT INTO masters AS held (host, holder, instance, place, since, seen_at)
    VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp())
    ON CONFLICT (host) DO UPDATE SET holder = EXCLUDED.holder, instance = EXCLUDED.instance, place = EXCLUDED.place,
      since = CASE WHEN held.instance = EXCLUDED.instance THEN held.since ELSE EXCLUDED.since END, seen_at = EXCLUDED.seen_at
    WHERE ${mayReplace} OR abs(extract(epoch FROM clock_timestamp() - held.seen_at)) * 1000 > ${claimMs}
    RETURNING host`,
});
const taken = put("decnet-claim-taken", "held.holder = EXCLUDED.holder");
const renewed = put("decnet-claim-renewed", "held.instance = EXCLUDED.instance");
const holder = {
  name: "decnet-claim-holder",
  text: `SELECT place, since, greatest(0, extract(epoch FROM clock_timestamp() - seen_at) * 1000)::float8 AS "seenMsAgo"
    FROM masters WHERE host = $1`,
};
const released = { name: "decnet-claim-released", text: "DELETE FROM masters WHERE host = $1 AND instance = $2" };

/** What a claim came to that was let go of while it was asked who has it. */
const goneSince = (): HeldBy => ({ place: "another master", since: new Date(), seenMsAgo: 0 });

export function createClaimStore(database: Database): ClaimStore {
  const write = async (statement: typeof taken, claim: HostClaim): Promise<HeldBy | undefined> => {
    const { host } = claim;
    const [own] = await database.run(statement, [host, claim.holder, claim.instance, claim.place]);
    if (own !== undefined) return undefined;
    const [other] = await database.run<HeldBy>(holder, [host]);
    return other ?? goneSince();
  };
  return {
    take: (claim) => write(taken, claim),
    renew: (claim) => write(renewed, claim),
    release: async ({ host, instance }) => void (await database.run(released, [host, instance])),
  };
}
