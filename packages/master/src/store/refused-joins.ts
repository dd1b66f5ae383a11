import { randomUUID } from "node:crypto";
import type { RefusedJoin } from "../model/host.ts";
import type { Database } from "./database.ts";
import { JoinTokens, RefusedJoins } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows } from "./write.ts";

/** Joins that were refused, for those who wait for a worker. */
export interface RefusedJoinStore {
  add(refusal: Omit<RefusedJoin, "id" | "at" | "hostName">): Promise<void>;
  /** The newest first. */
  list(most: number): Promise<RefusedJoin[]>;
}

/** As many as a list returns at most. */
const kept = 1_000;

export function createRefusedJoinStore(database: Database): RefusedJoinStore {
  return {
    add: (refusal) =>
      database.transaction(async (tx) => {
        const token = await managerOf(tx).getRepository(JoinTokens).findOneBy({ id: refusal.tokenId });
        const row = { ...refusal, id: randomUUID(), at: new Date(), hostName: token?.hostName ?? "" };
        await insertRows(tx, RefusedJoins, [row]);
        // Anyone who reaches the port can be refused: what is kept has an end.
        await managerOf(tx).query(
          "DELETE FROM refused_joins WHERE id IN (SELECT id FROM refused_joins ORDER BY at DESC, id OFFSET $1)",
          [kept],
        );
      }),
    list: (most) =>
      database.read((tx) =>
        managerOf(tx)
          .getRepository(RefusedJoins)
          .find({ order: { at: "DESC" }, take: most }),
      ),
  };
}
