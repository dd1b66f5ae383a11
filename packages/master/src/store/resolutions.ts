import type { Logger } from "@decnet/common/logging/logger";
import { createRounds } from "@decnet/common/runtime/rounds";
import type { Origins } from "@decnet/common/tracing/origins";
import { inSpan } from "@decnet/common/tracing/spans";
import { formatResolution } from "../decide/format-resolution.ts";
import { applyResolution, type Resolution } from "../decide/resolution.ts";
import type { AuditEntry } from "../model/access.ts";
import type { Decky } from "../model/decky.ts";
import type { OperationPatch, OperationStep } from "../model/operation.ts";
import { createCodec } from "./codec.ts";
import { type Database, runIn, type Statement, type Tx } from "./database.ts";
import { isStorageFault } from "./database-errors.ts";
import { type Lease, LeaseLost } from "./leases.ts";
import { snakeCase } from "./naming.ts";
import type { OperationLog } from "./operation-log.ts";
import { outboxLock, toRow } from "./outbox.ts";
import type { Sealing } from "./sealing.ts";
import { Audit, Deckies, Operations, Outbox, Revisions, Steps } from "./tables.ts";

/** One decision to be stored: whole, and only if the decky is still what the decision was made from. */
export interface Decision {
  readonly decky: Decky;
  readonly resolution: Resolution;
  readonly steps?: readonly OperationStep[];
  readonly audit?: AuditEntry;
  /** What is done for a host counts only while nobody else got the host: see leases.ts. */
  readonly lease?: Lease | undefined;
}

/** The only writer of what becomes of deckies. */
export interface Resolutions {
  /**
   * Stores a decision together with those of other callers, in one commit. False: the decky changed meanwhile, or its lease is
   * lost, and nothing is stored.
   */
  commit(decision: Decision): Promise<boolean>;
  /** Stores decisions in a transaction that holds the locks of their deckies; one for each decky. Throws LeaseLost. */
  write(tx: Tx, decisions: readonly Decision[]): Promise<void>;
}

const decky = createCodec(Deckies);
const operation = createCodec(Operations);
const revision = createCodec(Revisions);
const step = createCodec(Steps);
const audit = createCodec(Audit);
const outbox = createCodec(Outbox);

const fixed = new Set(["id", "scope", "name", "created_at"]);
const deckyColumns = decky.columns.filter((column) => !fixed.has(column));
/** All that a patch may hold. */
const patchable = {
  state: true,
  host: true,
  revision: true,
  plan: true,
  receipt: true,
  error: true,
  cancelRequested: true,
  cancelledBy: true,
  startedAt: true,
  finishedAt: true,
} as const satisfies Record<keyof OperationPatch, true>;
const operationColumns = Object.keys(patchable).map(snakeCase);
const stepKey = ["operation_id", "attempt", "number"];
const stepColumns = step.columns.filter((column) => !stepKey.includes(column));

const assign = (columns: readonly string[], from: string) => columns.map((column) => `${column} = ${from}.${column}`).join(", ");

/**
 * The given rows of one table whose decision counts, made once: joined to a table they would be made again for each of its rows,
 * whenever the database takes that table for a small one, as it does for a minute after thousands came.
 */
const rowsOf = (name: string, { table }: { readonly table: string }, parameter: number) =>
  `${name} AS MATERIALIZED (
      SELECT guard.id AS row_of, item.at AS row_at, row.*
        FROM json_array_elements($${parameter}) WITH ORDINALITY AS item (value, at)
        JOIN guard ON guard.id = (item.value ->> 'of')::uuid,
        LATERAL json_populate_record(NULL::${table}, item.value -> 'row') AS row
    )`;

const insert = (codec: { readonly table: string; readonly columns: readonly string[] }, from: string) =>
  `INSERT INTO ${codec.table} (${codec.columns.join(", ")})
     SELECT ${codec.columns.map((column) => `row.${column}`).join(", ")} FROM ${from} AS row`;

/** Of a step that an earlier attempt left behind: no step goes on after its operation. */
export const unseenEnd = "its operation ended meanwhile; how far it got was seen afterwards";

/** What has to be written before the outbox is locked. */
const writes = ["patched", "gone", "revised", "opened", "changed", "stepped", "cut", "audited"];

/**
 * One statement is one round trip and one commit. Whatever belongs to a decision hangs on the guard: a decky whose
 * version is another by now, that somebody else has locked, or whose host another master has got, has no row there. The lock of
 * the outbox comes last, and events get their positions under it.
 */
const commit: Statement = {
  name: "decnet-commit",
  text: `WITH given AS MATERIALIZED (
      SELECT * FROM json_to_recordset($1) AS given (id uuid, version int, gone boolean, host text, epoch int)
    ), leased AS MATERIALIZED (
      SELECT host, epoch FROM host_leases WHERE host IN (SELECT host FROM given) ORDER BY host FOR SHARE
    ), guard AS MATERIALIZED (
      SELECT decky.id, given.gone FROM deckies AS decky JOIN given ON given.id = decky.id AND given.version = decky.version
      WHERE given.host IS NULL OR (given.host, given.epoch) IN (SELECT host, epoch FROM leased)
      ORDER BY decky.id FOR NO KEY UPDATE OF decky SKIP LOCKED
    ), ${rowsOf("decky_rows", decky, 2)}, ${rowsOf("revision_rows", revision, 3)},
    ${rowsOf("opened_rows", operation, 4)}, ${rowsOf("operation_rows", operation, 5)},
    ${rowsOf("step_rows", step, 6)}, ${rowsOf("audit_rows", audit, 7)}, ${rowsOf("outbox_rows", outbox, 8)},
    patched AS (
      UPDATE deckies SET ${assign(deckyColumns, "row")} FROM decky_rows AS row
      WHERE deckies.id = row.row_of RETURNING deckies.id
    ), gone AS (
      DELETE FROM deckies USING guard WHERE deckies.id = guard.id AND guard.gone RETURNING deckies.id
    ), revised AS (
      ${insert(revision, "revision_rows")} RETURNING number
    ), opened AS (
      ${insert(operation, "opened_rows")} RETURNING id
    ), changed AS (
      UPDATE operations SET ${assign(operationColumns, "row")} FROM operation_rows AS row
      WHERE operations.id = row.id AND operations.state IN ('pending', 'running') RETURNING operations.id
    ), stepped AS (
      ${insert(step, "step_rows")}
      ON CONFLICT (${stepKey.join(", ")}) DO UPDATE SET ${assign(stepColumns, "excluded")} RETURNING number
    ), cut AS (
      UPDATE operation_steps AS step SET state = 'failed', finished_at = now(), output_tail = '["${unseenEnd}"]'
      FROM operation_rows AS row
      WHERE step.operation_id = row.id AND step.state = 'running' AND row.state NOT IN ('pending', 'running')
        AND NOT EXISTS (SELECT FROM step_rows AS given
          WHERE (given.operation_id, given.attempt, given.number) = (step.operation_id, step.attempt, step.number))
      RETURNING step.number
    ), audited AS (
      ${insert(audit, "audit_rows")} RETURNING id
    ), written AS (
      SELECT ${writes.map((name) => `(SELECT count(*) FROM ${name})`).join(" + ")} AS rows
    ), locked AS MATERIALIZED (
      SELECT pg_advisory_xact_lock($9::int) FROM written WHERE written.rows >= 0 AND json_array_length($8) > 0
    ), told AS (
      ${insert(outbox, "locked, outbox_rows")} ORDER BY row.row_at
    )
    SELECT id FROM guard`,
};

const most = 64;

function notStored(decisions: readonly Decision[]): Error {
  const hosts = new Set(decisions.flatMap(({ lease }) => lease?.host ?? []));
  return hosts.size === 0 ? new Error("a decision was stored without the lock of its decky") : new LeaseLost([...hosts]);
}

export function createResolutions(
  database: Database,
  sealing: Sealing,
  { log, origins, journal }: { readonly log: Logger; readonly origins: Pick<Origins, "note">; readonly journal: OperationLog },
): Resolutions {
  const tell = ({ decky, resolution }: Decision) => {
    for (const operation of resolution.opens) journal.accepted(operation);
    for (const operation of applyResolution({ decky }, resolution).ended) journal.ended(operation);
    if (log.isDebug) log.debug("stored", { decky: decky.name, resolution: formatResolution({ decky }, resolution) });
  };
  const valuesOf = (decisions: readonly Decision[]): unknown[] => {
    const now = new Date();
    const tables = Array.from({ length: 8 }, (): unknown[] => []);
    const [guards, deckies, revisions, opened, changed, steps, audits, events] = tables;
    for (const { decky: before, resolution, lease, ...rest } of decisions) {
      const of = before.id;
      const { decky: after, operations } = applyResolution({ decky: before }, resolution);
      const opens = new Set(resolution.opens);
      guards?.push({ id: of, version: before.version, gone: after === undefined, ...lease });
      if (after !== undefined) deckies?.push({ of, row: decky.toJson(after) });
      const made = resolution.revision;
      if (made !== undefined)
        revisions?.push({
          of,
          row: revision.toJson({ ...made, services: sealing.seal(made.deckyId, made.services), createdAt: now }),
        });
      for (const each of operations) (opens.has(each) ? opened : changed)?.push({ of, row: operation.toJson(each) });
      for (const each of rest.steps ?? []) steps?.push({ of, row: step.toJson(each) });
      if (rest.audit !== undefined) audits?.push({ of, row: audit.toJson(rest.audit) });
      for (const event of resolution.events) events?.push({ of, row: outbox.toJson(toRow(event, now)) });
    }
    return [...tables.map((rows) => JSON.stringify(rows)), outboxLock];
  };
  const commitRound = createRounds<Decision, boolean>({
    most,
    keyOf: (decision) => decision.decky.id,
    // The round may have been stored without an answer: a decision that is made from what was there before is not made again.
    mayRepeat: (error) => !isStorageFault(error),
    serve: async (decisions) => {
      const stored = new Set((await database.run<{ id: string }>(commit, valuesOf(decisions))).map(({ id }) => id));
      return decisions.map((decision) => {
        const isStored = stored.has(decision.decky.id);
        if (isStored) tell(decision);
        return isStored;
      });
    },
  });
  const noteOrigins = ({ resolution }: Decision) => resolution.opens.forEach(({ id }) => void origins.note(id));
  return {
    commit(decision) {
      noteOrigins(decision);
      return inSpan("commit resolution", aboutDecky(decision), () => commitRound(decision));
    },
    async write(tx, decisions) {
      decisions.forEach(noteOrigins);
      for (let at = 0; at < decisions.length; at += most) {
        const part = decisions.slice(at, at + most);
        const stored = await runIn(tx, commit, valuesOf(part));
        if (stored.length !== part.length) throw notStored(part);
        tx.afterwards(() => part.forEach(tell));
      }
    },
  };
}

function aboutDecky({ decky: { name, host } }: Decision) {
  return { attributes: { "decnet.decky": name, "decnet.host": host } };
}
