import { endEvents } from "../model/events.ts";
import { createCodec } from "./codec.ts";
import type { Database, Tx } from "./database.ts";
import type { OperationLog } from "./operation-log.ts";
import type { EventLog } from "./outbox.ts";
import { Operations } from "./tables.ts";
import { managerOf } from "./transaction.ts";

/** Operations about many deckies end with their parts. */
export interface ParentStore {
  /**
   * Ends those of the given operations whose parts have all ended. Such an operation failed when one of its parts did, and was
   * cancelled when one of them was. A batch ends so once it is closed: its parts are not all stored at its start, and some
   * changes may have been refused. A host that is decommissioned is more than its parts: whatever ends the host ends that
   * operation, unless a part of it did not succeed. Returns the ids of those that ended.
   */
  end(ids: readonly string[]): Promise<string[]>;
  /** Operations about many deckies that have not ended. */
  open(): Promise<string[]>;
  /** The same in the transaction that ends their parts. */
  endIn(tx: Tx, ids: readonly string[]): Promise<string[]>;
}

const codec = createCodec(Operations);

/** The lock comes in a statement of its own: the next one then sees the parts that others ended meanwhile. */
const lock = `SELECT id FROM operations WHERE decky_id IS NULL AND state IN ('pending', 'running') AND id = ANY ($1)
  ORDER BY id FOR NO KEY UPDATE`;

const end = `UPDATE operations AS parent SET finished_at = now(),
    state = CASE WHEN parent.error IS NOT NULL OR counted.failed > 0 THEN 'failed'
      WHEN counted.cancelled > 0 THEN 'cancelled' ELSE 'succeeded' END,
    error = coalesce(parent.error, (
      SELECT part.error || jsonb_build_object('message', part.decky_name || ': ' || (part.error ->> 'message'))
      FROM operations AS part WHERE part.parent = parent.id AND part.state = 'failed' ORDER BY part.decky_name LIMIT 1))
  FROM unnest($1::text[]) AS given (id), LATERAL (
    SELECT count(*) FILTER (WHERE part.state = 'failed') AS failed, count(*) FILTER (WHERE part.state = 'cancelled') AS cancelled
    FROM operations AS part WHERE part.parent = given.id) AS counted
  WHERE parent.id = given.id AND parent.state IN ('pending', 'running')
    AND (parent.kind <> 'batch' OR parent.plan #>> '{batch,isClosed}' = 'true')
    AND (parent.kind <> 'decommission_host' OR counted.failed + counted.cancelled > 0)
  RETURNING parent.id, parent.kind, parent.state, parent.scope, parent.host, parent.actor, parent.request_id, parent.error,
    parent.created_at, parent.finished_at`;

/** Only those of which no part is open are counted: an operation of ten thousand parts is not counted again for each of them. */
const endable = `SELECT given.id FROM unnest($1::text[]) AS given (id)
  WHERE NOT EXISTS (SELECT FROM operations AS part WHERE part.parent = given.id AND part.state IN ('pending', 'running'))`;

const openParents = {
  name: "decnet-open-parents",
  text: "SELECT id FROM operations WHERE decky_id IS NULL AND state IN ('pending', 'running')",
};

export function createParentStore(database: Database, events: Pick<EventLog, "append">, journal: OperationLog): ParentStore {
  const endIn: ParentStore["endIn"] = async (tx, ids) => {
    if (ids.length === 0) return [];
    const query = async <Row>(text: string, values: unknown[]): Promise<Row> => managerOf(tx).query(text, values);
    const locked = await query<{ id: string }[]>(lock, [ids]);
    const ready = await query<{ id: string }[]>(endable, [locked.map(({ id }) => id)]);
    if (ready.length === 0) return [];
    const [rows] = await query<[Record<string, unknown>[], number]>(end, [ready.map(({ id }) => id)]);
    const ended = rows.map(codec.fromJson);
    events.append(
      tx,
      ended.flatMap((row) => endEvents({ ...row, deckyId: null })),
    );
    tx.afterwards(() => ended.forEach(journal.ended));
    return ended.map(({ id }) => id);
  };
  const open = async () => {
    const rows = await database.run<{ id: string }>(openParents, []);
    return rows.map(({ id }) => id);
  };
  return { open, endIn, end: (ids) => database.transaction((tx) => endIn(tx, ids)) };
}
