import type { Changed, EditTrace } from "../decide/topology/take-back.ts";
import type { Operation } from "../model/operation.ts";
import type { TopologyDecky } from "../model/topology.ts";
import { createCodec } from "./codec.ts";
import { type Database, runIn, type Tx } from "./database.ts";
import type { SealedDesign, Sealing } from "./sealing.ts";
import { Operations } from "./tables.ts";

/** What live edits made of the designs of their topologies, for as long as they may have to be taken back. */
export interface TopologyEditStore {
  note(tx: Tx, operationId: string, trace: EditTrace): Promise<void>;
  /** Of these operations, the edits that have to be taken back: their parts have ended, and not all of them well. */
  due(ids: readonly string[]): Promise<{ readonly id: string; readonly topology: string }[]>;
  /** The same for one edit, which is nobody's to take back any more. Undefined: somebody did, or it is not due. */
  take(
    tx: Tx,
    id: string,
  ): Promise<{ readonly edit: Operation; readonly parts: Operation[]; readonly trace: EditTrace } | undefined>;
}

interface SealedTrace extends Pick<EditTrace, "lans"> {
  readonly deckies: readonly Changed<SealedDesign["deckies"][number]>[];
}

/** An edit that ended without a part that did not succeed is not here. */
const isDue = `edit.operation_id = parent.id AND parent.state IN ('pending', 'running')
  AND NOT EXISTS (SELECT FROM operations AS part WHERE part.parent = parent.id AND part.state IN ('pending', 'running'))
  AND EXISTS (SELECT FROM operations AS part WHERE part.parent = parent.id AND part.state IN ('failed', 'cancelled'))`;

const due = {
  name: "decnet-due-edits",
  text: `SELECT parent.id, parent.scope AS topology FROM topology_edits AS edit, operations AS parent
    WHERE parent.id = ANY ($1) AND ${isDue} ORDER BY parent.created_at DESC`,
};
const take = {
  name: "decnet-take-edit",
  text: `DELETE FROM topology_edits AS edit USING operations AS parent WHERE parent.id = $1 AND ${isDue}
    RETURNING edit.trace, (SELECT row_to_json(own) FROM operations AS own WHERE own.id = $1) AS parent,
      (SELECT json_agg(row_to_json(part) ORDER BY part.decky_name) FROM operations AS part WHERE part.parent = $1) AS parts`,
};
const note = { name: "decnet-note-edit", text: "INSERT INTO topology_edits (operation_id, trace) VALUES ($1, $2)" };

interface TakenRow {
  readonly trace: SealedTrace;
  readonly parent: Record<string, unknown>;
  readonly parts: Record<string, unknown>[];
}

const codec = createCodec(Operations);

export function createTopologyEditStore(database: Database, sealing: Sealing): TopologyEditStore {
  const sealed = (decky: TopologyDecky | null) =>
    decky === null ? null : { ...decky, services: sealing.seal(decky.id, decky.services) };
  const opened = (decky: SealedDesign["deckies"][number] | null): TopologyDecky | null =>
    decky === null ? null : { ...decky, services: sealing.open(decky.id, decky.services) };
  return {
    async note(tx, operationId, { lans, deckies }) {
      const trace: SealedTrace = {
        lans,
        deckies: deckies.map(({ at, before, after }) => ({ at, before: sealed(before), after: sealed(after) })),
      };
      await runIn(tx, note, [operationId, JSON.stringify(trace)]);
    },
    due: (ids) => database.run(due, [[...ids]]),
    async take(tx, id) {
      const [row] = await runIn<TakenRow>(tx, take, [id]);
      if (row === undefined) return undefined;
      const { lans, deckies } = row.trace;
      return {
        edit: codec.fromJson(row.parent),
        parts: row.parts.map(codec.fromJson),
        trace: { lans, deckies: deckies.map(({ at, before, after }) => ({ at, before: opened(before), after: opened(after) })) },
      };
    },
  };
}
