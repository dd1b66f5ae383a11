import { randomUUID } from "node:crypto";
import type { Logger } from "@decnet/common/logging/logger";
import { createTally, sourceOf } from "@decnet/common/runtime/tally";
import type { RefusedJoin } from "../model/host.ts";
import type { Database } from "./database.ts";
import { JoinTokens, RefusedJoins } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows } from "./write.ts";

/**
 * Joins that were refused, for those who wait for a worker. Anyone who reaches the port can be refused: the same from the same
 * address is one row, and those who hold no token of ours do not push out those who do.
 */
export interface RefusedJoinStore {
  /** Never fails: what cannot be written is in the log. */
  add(refusal: Refusal): Promise<void>;
  /** The newest first. */
  list(most: number): Promise<RefusedJoin[]>;
  /** Stores what was counted so far. */
  flush(): Promise<void>;
}

type Refusal = Omit<RefusedJoin, "id" | "at" | "hostName" | "times">;
type KnownRefusal = Refusal & Pick<RefusedJoin, "hostName">;

const windowMs = 600_000;
const mostSources = 100;
/** Of what a list shows, one of so many may be of those whose token nobody made. */
const strangersShare = 5;

export function createRefusedJoinStore(database: Database, log: Logger): RefusedJoinStore {
  const store = async (refusal: KnownRefusal): Promise<string> => {
    const row = { ...refusal, id: randomUUID(), at: new Date(), times: 1 };
    await database
      .write((tx) => insertRows(tx, RefusedJoins, [row]))
      .catch((error: unknown) => log.error("a refused join was not written", { ...row, err: error }));
    return row.id;
  };
  const add = async (id: string, times: number): Promise<void> => {
    await database
      .write((tx) => managerOf(tx).query("UPDATE refused_joins SET times = times + $2, at = now() WHERE id = $1", [id, times]))
      .catch((error: unknown) => log.error("repetitions were not added to a refused join", { id, times, err: error }));
  };
  const shared = { store, add, windowMs, free: 0 };
  const strangers = createTally<KnownRefusal>({
    ...shared,
    mostSources,
    pooled: (refusal) => ({ ...refusal, tokenId: "", machineName: "", address: "other addresses" }),
  });
  const holders = createTally<KnownRefusal>({ ...shared, mostSources: Number.POSITIVE_INFINITY, pooled: (refusal) => refusal });
  const find = (tx: Parameters<typeof managerOf>[0], isKnown: boolean, most: number) =>
    managerOf(tx)
      .getRepository(RefusedJoins)
      .createQueryBuilder("refused")
      .where(isKnown ? "refused.hostName <> ''" : "refused.hostName = ''")
      .orderBy("refused.at", "DESC")
      .limit(most)
      .getMany();
  const flush = async () => {
    await holders.flush();
    await strangers.flush();
  };
  return {
    flush,
    async add(refusal) {
      const token = await database
        .read((tx) => managerOf(tx).getRepository(JoinTokens).findOneBy({ id: refusal.tokenId }))
        .catch(() => null);
      const source = sourceOf(refusal.address);
      // Only a token that was made has an id of its own here: any other is the caller's word.
      if (token === null) await strangers.note(source, refusal.reason, { ...refusal, hostName: "" });
      else await holders.note(token.id, `${refusal.reason} ${source}`, { ...refusal, hostName: token.hostName });
    },
    async list(most) {
      await flush();
      return database.read(async (tx) => {
        const [known, unknown] = await Promise.all([find(tx, true, most), find(tx, false, Math.ceil(most / strangersShare))]);
        const room = Math.max(most - known.length, Math.ceil(most / strangersShare));
        const shown = [...known.slice(0, Math.max(0, most - Math.min(room, unknown.length))), ...unknown.slice(0, room)];
        return shown.sort((one, other) => other.at.getTime() - one.at.getTime());
      });
    },
  };
}
