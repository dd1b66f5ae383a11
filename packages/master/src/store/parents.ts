import type { Tx } from "./database.ts";

/**
 * A change of many deckies ends with its last part; it failed when one of them did, and was cancelled when one of them was. A batch ends so once it is
 * closed: its parts are not all stored at its start, and some changes may have been refused. A host that is decommissioned is more than its parts: whoever ends
 * the host ends that change, unless a part of it did not succeed. Call it in the transaction that ends parts, and get the ids
 * of the changes that ended with them. The lock comes in a statement of its own: the next one then sees the parts that others ended meanwhile.
 */
export async function endParents(tx: Tx, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const parents: { id: string }[] = await tx.query(
    `SELECT id FROM operations WHERE id IN (SELECT parent FROM operations WHERE id = ANY ($1)) AND state IN ('pending', 'running')
     ORDER BY id FOR NO KEY UPDATE`,
    [ids],
  );
  if (parents.length === 0) return [];
  const rows: [{ id: string }[], number] = await tx.query(
    `UPDATE operations AS parent SET finished_at = now(),
       state = CASE WHEN parent.error IS NOT NULL OR EXISTS (SELECT FROM operations AS part WHERE part.parent = parent.id AND part.state = 'failed') THEN 'failed'
                    WHEN EXISTS (SELECT FROM operations AS part WHERE part.parent = parent.id AND part.state = 'cancelled') THEN 'cancelled'
                    ELSE 'succeeded' END,
       error = coalesce(parent.error, (SELECT part.error || jsonb_build_object('message', part.decky_name || ': ' || (part.error ->> 'message'))
                FROM operations AS part WHERE part.parent = parent.id AND part.state = 'failed' ORDER BY part.decky_name LIMIT 1))
     WHERE parent.id = ANY ($1) AND parent.state IN ('pending', 'running')
       AND (parent.kind <> 'batch' OR parent.plan #>> '{batch,isClosed}' = 'true')
       AND (parent.kind <> 'decommission_host' OR EXISTS (SELECT FROM operations AS part WHERE part.parent = parent.id AND part.state IN ('failed', 'cancelled')))
       AND NOT EXISTS (SELECT FROM operations AS part WHERE part.parent = parent.id AND part.state IN ('pending', 'running'))
     RETURNING parent.id`,
    [parents.map((parent) => parent.id)],
  );
  return rows[0].map((row) => row.id);
}
