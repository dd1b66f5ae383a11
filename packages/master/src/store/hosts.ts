import { AppError } from "@decnet/common/errors/app-error";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import { IsNull } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { type HostRow, Hosts } from "./tables.ts";
import { updateRows } from "./write.ts";

/** Enrolled workers. A decommissioned host keeps its row; its name is free again. */
export interface HostStore {
  list(tx: Tx): Promise<HostRow[]>;
  /** What is known about when the hosts that are not named were seen; theirs alone is read. */
  others(tx: Tx, names: readonly string[]): Promise<Pick<HostRow, "id" | "name" | "lastSeen">[]>;
  /** Throws HOST_NOT_FOUND. */
  find(tx: Tx, name: string): Promise<HostRow>;
  /** The host whose certificate this is, if it is accepted still. */
  accepts(id: string, serial: string): Promise<HostRow | undefined>;
  /** The name of a host that is or was enrolled, for the record; empty for none. */
  nameOf(id: string): Promise<string>;
  update(tx: Tx, id: string, patch: Partial<HostRow>): Promise<void>;
}

export function createHostStore(database: Database): HostStore {
  return {
    list: (tx) => tx.getRepository(Hosts).find({ where: { decommissionedAt: IsNull() }, order: { name: "ASC" } }),
    others: (tx, names) =>
      tx.query(
        `SELECT id, name, last_seen AS "lastSeen" FROM hosts WHERE decommissioned_at IS NULL AND NOT (name = ANY ($1)) ORDER BY name`,
        [names],
      ),
    async find(tx, name) {
      const shown = cleanText(name, 64);
      const row = shown === name ? await tx.getRepository(Hosts).findOneBy({ name, decommissionedAt: IsNull() }) : null;
      if (row === null)
        throw new AppError("HOST_NOT_FOUND", `there is no host ${JSON.stringify(shown)}`, {
          metadata: { host: shown },
          resource: { type: "host", name: shown },
        });
      return row;
    },
    accepts: (id, serial) =>
      database.read(async (tx) => {
        const row = await tx.getRepository(Hosts).findOneBy({ id, decommissionedAt: IsNull() });
        return row?.certificateSerials.includes(serial) === true ? row : undefined;
      }),
    nameOf: (id) => database.read(async (tx) => (await tx.getRepository(Hosts).findOneBy({ id }))?.name ?? ""),
    async update(tx, id, patch) {
      await updateRows(tx, Hosts, { id }, patch);
    },
  };
}
