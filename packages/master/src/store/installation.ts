import { randomUUID } from "node:crypto";
import type { Database } from "./database.ts";
import { Installations } from "./tables.ts";
import { managerOf } from "./transaction.ts";

/** Marks what this installation made on its engines; made once per database. */
export async function installationId(database: Database): Promise<string> {
  return database.transaction(async (tx) => {
    await managerOf(tx).query("INSERT INTO installation (id, created_at) VALUES ($1, now()) ON CONFLICT DO NOTHING", [
      randomUUID(),
    ]);
    return (await managerOf(tx).getRepository(Installations).findOneByOrFail({})).id;
  });
}
