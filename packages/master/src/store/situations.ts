import { createRounds } from "@decnet/common/runtime/rounds";
import { inSpan } from "@decnet/common/tracing/spans";
import type { Situation } from "../decide/situation.ts";
import type { MovePolicy, StoredService } from "../model/decky.ts";
import type { Operation } from "../model/operation.ts";
import { createCodec } from "./codec.ts";
import { type Database, runIn, type Statement, type Tx } from "./database.ts";
import type { SealedService, Sealing } from "./sealing.ts";
import { Deckies, Operations } from "./tables.ts";

/** A decky by its id, or by its scope and name. */
export type DeckyAddress = { readonly id: string } | { readonly scope: string; readonly name: string };

export interface SituationQuery {
  readonly decky: DeckyAddress;
  /** Further revisions whose services are needed. */
  readonly revisions?: readonly number[];
  /** Also look for the operation of an earlier call with this id. */
  readonly request?: { readonly actor: string; readonly requestId: string };
}

export interface SituationFound {
  /** Undefined when there is no such decky. */
  readonly situation: Situation | undefined;
  readonly earlier: Operation | undefined;
}

/** Everything that decisions about deckies are made from, many deckies in one round trip. */
export interface Situations {
  load(query: SituationQuery): Promise<SituationFound>;
  /** Locks the rows until the transaction ends, in the order of their ids, then reads what is there. */
  lock(tx: Tx, queries: readonly SituationQuery[]): Promise<SituationFound[]>;
}

interface Row {
  readonly decky: Record<string, unknown> | null;
  readonly open: Record<string, unknown>[] | null;
  readonly revisions: Record<string, SealedService[]> | null;
  readonly attempts: Record<string, number> | null;
  readonly earlier: Record<string, unknown> | null;
  readonly move_policy: MovePolicy | null;
}

const given = `ROWS FROM (json_to_recordset($1) AS (id uuid, scope text, name text, revisions int[], actor text, request_id text))
      WITH ORDINALITY AS given (id, scope, name, revisions, actor, request_id, at)`;

/** An operation that ends needs its own revision, and a cancelled one the revision before. */
const load: Statement = {
  name: "decnet-situations",
  text: `SELECT row_to_json(decky) AS decky, open.rows AS open, attempts.of AS attempts, row_to_json(earlier) AS earlier,
      (SELECT json_object_agg(revision.number, revision.services) FROM decky_revisions AS revision
        WHERE revision.decky_id = decky.id AND (revision.number IN (decky.desired_revision, decky.applied_revision)
          OR revision.number = ANY (open.numbers) OR revision.number = ANY (given.revisions))) AS revisions,
      (SELECT move_policy FROM fleet) AS move_policy
    FROM ${given}
    LEFT JOIN LATERAL (
      SELECT * FROM deckies WHERE deckies.id = given.id
      UNION ALL SELECT * FROM deckies WHERE given.id IS NULL AND deckies.scope = given.scope AND deckies.name = given.name
    ) AS decky ON true
    LEFT JOIN LATERAL (
      SELECT json_agg(row_to_json(operation) ORDER BY operation.revision, operation.created_at) AS rows,
        array_agg(operation.revision) || array_agg(operation.revision - 1) AS numbers
      FROM operations AS operation WHERE operation.decky_id = decky.id AND operation.state IN ('pending', 'running')
    ) AS open ON true
    LEFT JOIN LATERAL (
      SELECT json_object_agg(newest.operation_id, newest.attempt) AS of FROM (
        SELECT step.operation_id, max(step.attempt) AS attempt FROM operations AS operation
          JOIN operation_steps AS step ON step.operation_id = operation.id
          WHERE open.rows IS NOT NULL AND operation.decky_id = decky.id AND operation.state IN ('pending', 'running')
          GROUP BY step.operation_id) AS newest
    ) AS attempts ON true
    LEFT JOIN operations AS earlier ON earlier.actor = given.actor AND earlier.request_id = given.request_id
    ORDER BY given.at`,
};

const lock: Statement = {
  name: "decnet-lock-deckies",
  text: `SELECT decky.id FROM deckies AS decky
    WHERE decky.id = ANY (SELECT id FROM json_to_recordset($1) AS given (id uuid))
      OR (decky.scope, decky.name) IN (SELECT scope, name FROM json_to_recordset($1) AS given (scope text, name text))
    ORDER BY decky.id FOR NO KEY UPDATE`,
};

const decky = createCodec(Deckies);
const operation = createCodec(Operations);
const most = 64;

export function createSituations(database: Database, sealing: Sealing): Situations {
  const toSituation = (row: Row): SituationFound => {
    const earlier = row.earlier === null ? undefined : operation.fromJson(row.earlier);
    if (row.decky === null) return { situation: undefined, earlier };
    const found = decky.fromJson(row.decky);
    const revisions = new Map<number, readonly StoredService[]>();
    for (const [number, services] of Object.entries(row.revisions ?? {}))
      revisions.set(Number(number), sealing.open(found.id, services));
    const situation: Situation = {
      decky: found,
      open: (row.open ?? []).map(operation.fromJson),
      revisions,
      attempts: new Map(Object.entries(row.attempts ?? {})),
      movePolicy: row.move_policy ?? "remove_first",
    };
    return { situation, earlier };
  };
  const loadRound = createRounds<SituationQuery, SituationFound>({
    most,
    serve: async (queries) => (await database.run<Row>(load, [JSON.stringify(queries.map(toGiven))])).map(toSituation),
  });
  return {
    load: (query) => inSpan("load situation", {}, () => loadRound(query)),
    async lock(tx, queries) {
      const values = [JSON.stringify(queries.map(toGiven))];
      await runIn(tx, lock, values);
      return (await runIn<Row>(tx, load, values)).map(toSituation);
    },
  };
}

function toGiven({ decky: address, revisions = [], request }: SituationQuery): Record<string, unknown> {
  return { ...address, revisions, actor: request?.actor ?? null, request_id: request?.requestId || null };
}
