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
   * operation, unless a part of it did not succeed. An edit of a live topology that has to be taken back ends after that. Returns
   * the ids of those that ended.
   */
  end(ids: readonly string[]): Promise<string[]>;
  /** Operations about many deckies that have not ended. */
  open(): Promise<string[]>;
  /** The same in the transaction that ends their parts; nothing is taken back any more. */
  endIn(tx: Tx, ids: readonly string[]): Promise<string[]>;
}

const codec = createCodec(Operations);

/** The lock comes in a statement of its own: the next one then sees the parts that others ended meanwhile. */
const lock = `SELECT id FROM operations WHERE decky_id IS NULL AND state IN ('pending', 'running') AND id = ANY ($1)
  ORDER BY id FOR NO KEY UPDATE`;

/**
 * An edit of a decky that went meanwhile never was what it says. One that was taken back says so in its error; what had to be
 * done for that are parts like the others, told apart by their reason.
 */
const end = `UPDATE operations AS parent SET finished_at = now(),
    state = CASE WHEN parent.kind = 'edit_topology' AND parent.error ->> 'reason' = 'OPERATION_CANCELLED' THEN 'cancelled'
      WHEN parent.error IS NOT NULL OR counted.failed > 0 THEN 'failed'
      WHEN counted.cancelled > 0 THEN 'cancelled'
      WHEN parent.kind = 'edit_topology' AND counted.superseded > 0 THEN 'superseded' ELSE 'succeeded' END,
    error = coalesce(CASE WHEN counted.stuck > 0 THEN jsonb_set(parent.error, '{undone}', 'false') ELSE parent.error END, (
      SELECT part.error || jsonb_build_object('message', part.decky_name || ': ' || (part.error ->> 'message'))
      FROM operations AS part WHERE part.parent = parent.id AND part.state = 'failed' ORDER BY part.decky_name LIMIT 1))
  FROM unnest($1::text[]) AS given (id), LATERAL (
    SELECT count(*) FILTER (WHERE part.state = 'failed') AS failed, count(*) FILTER (WHERE part.state = 'cancelled') AS cancelled,
      count(*) FILTER (WHERE part.state = 'superseded') AS superseded,
      count(*) FILTER (WHERE part.state <> 'succeeded' AND part.reason = 'undo of ' || given.id) AS stuck
    FROM operations AS part WHERE part.parent = given.id) AS counted
  WHERE parent.id = given.id AND parent.state IN ('pending', 'running')
    AND (parent.kind <> 'batch' OR parent.plan #>> '{batch,isClosed}' = 'true')
    AND (parent.kind <> 'decommission_host' OR counted.failed + counted.cancelled > 0)
    AND ($2 OR counted.failed + counted.cancelled = 0
      OR NOT EXISTS (SELECT FROM topology_edits AS edit WHERE edit.operation_id = parent.id))
  RETURNING parent.id, parent.kind, parent.state, parent.scope, parent.host, parent.actor, parent.request_id, parent.error,
    parent.created_at, parent.finished_at`;

/** Only those of which no part is open are counted: an operation of ten thousand parts is not counted again for each of them. */
const endable = `SELECT given.id FROM unnest($1::text[]) AS given (id)
  WHERE NOT EXISTS (SELECT FROM operations AS part WHERE part.parent = given.id AND part.state IN ('pending', 'running'))`;

const forget = "DELETE FROM topology_edits WHERE operation_id = ANY ($1)";

const openParents = {
  name: "decnet-open-parents",
  text: "SELECT id FROM operations WHERE decky_id IS NULL AND state IN ('pending', 'running')",
};

export function createParentStore(database: Database, events: Pick<EventLog, "append">, journal: OperationLog): ParentStore {
  const endSome = async (tx: Tx, ids: readonly string[], isForGood: boolean): Promise<string[]> => {
    if (ids.length === 0) return [];
    const query = async <Row>(text: string, values: unknown[]): Promise<Row> => managerOf(tx).query(text, values);
    const locked = await query<{ id: string }[]>(lock, [ids]);
    const ready = await query<{ id: string }[]>(endable, [locked.map(({ id }) => id)]);
    if (ready.length === 0) return [];
    const [rows] = await query<[Record<string, unknown>[], number]>(end, [ready.map(({ id }) => id), isForGood]);
    const ended = rows.map(codec.fromJson);
    const edits = ended.filter(({ kind }) => kind === "edit_topology").map(({ id }) => id);
    if (edits.length > 0) await query(forget, [edits]);
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
  return {
    open,
    endIn: (tx, ids) => endSome(tx, ids, true),
    end: (ids) => database.transaction((tx) => endSome(tx, ids, false)),
  };
}
