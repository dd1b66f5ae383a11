import type { Database, Tx } from "./database.ts";
import { type Forgotten, type ForgottenSubject, noteForgotten } from "./forgotten.ts";
import { managerOf } from "./transaction.ts";
import { dropUnsent, sentPosition } from "./unsent-events.ts";

/** How much of a table is kept: what is older, or beyond so many rows, goes. */
export interface Keep {
  readonly ms: number;
  readonly rows: number;
}

export interface RetentionLimits {
  readonly audit: Keep;
  readonly events: Keep;
  /**
   * With a bus, what it does not have yet is kept although it is older or more than `events` says, up to here; undefined: there
   * is no bus.
   */
  readonly unsentEvents?: Keep;
  readonly operations: Keep;
  readonly refusedJoins: Keep;
  /** `rows` of each decky are kept however old they are, and those that are younger besides. */
  readonly revisions: Keep;
  /** Of those that have ended. */
  readonly joinTokens: Keep;
}

type Kept = Exclude<keyof RetentionLimits, "unsentEvents">;

/** `dropped`: of the events, those that the bus had not had. */
export type Removed = Readonly<Record<Kept | "dropped", number>>;

/** Removes what is kept no longer. */
export interface Retention {
  /**
   * One pass, in batches of a few hundred rows that wait for nobody; what is locked waits for the next. Masters that share a
   * database take turns. Returns how many rows went.
   */
  sweep(limits: RetentionLimits, signal: AbortSignal): Promise<Removed>;
}

/** Held for one batch. */
const retentionLock = 7_233_004;
const batchSize = 500;
/** Of one pass: what came in a flood is removed in several. */
const mostBatches = 200;
/** A request id finds its operation for so long at least, however many there are: the same request may come again. */
const requestsMs = 86_400_000;

/** Of one decky, however young they are: somebody changes it all the time. */
const mostRevisions = 10_000;

/** What a batch removed. */
interface Gone {
  readonly count: number;
  readonly position: string | null;
  readonly until: Date | null;
}

interface Subject {
  /** Of the newest row that is beyond the number of rows: `$1` of them are kept. */
  readonly beyond: string;
  /**
   * Removes the oldest `$3` rows that are older than `$1`, or not newer than the row beyond, `$2`; of events only those up to
   * position `$4`, when that is given, and those after `$5` are counted.
   */
  readonly remove: string;
  readonly forgotten?: ForgottenSubject;
}

const subjects: Readonly<Record<Kept, Subject>> = {
  events: {
    beyond: "SELECT position::text AS key FROM outbox ORDER BY position DESC OFFSET $1 LIMIT 1",
    remove: `WITH oldest AS (
        SELECT position, occurred_at FROM outbox ORDER BY position LIMIT $3 FOR UPDATE SKIP LOCKED
      ), gone AS (
        DELETE FROM outbox USING oldest WHERE outbox.position = oldest.position
          AND (oldest.occurred_at < $1 OR oldest.position <= $2::bigint)
          AND ($4::bigint IS NULL OR oldest.position <= $4::bigint) RETURNING outbox.position, outbox.occurred_at
      ) SELECT count(*)::int AS count, count(*) FILTER (WHERE position > $5::bigint)::int AS unsent,
        max(position)::text AS position, max(occurred_at) AS until FROM gone`,
    forgotten: "events",
  },
  audit: {
    beyond: "SELECT at AS key FROM audit ORDER BY at DESC, id OFFSET $1 LIMIT 1",
    remove: `WITH oldest AS (
        SELECT id, at FROM audit ORDER BY at, id DESC LIMIT $3 FOR UPDATE SKIP LOCKED
      ), gone AS (
        DELETE FROM audit USING oldest WHERE audit.id = oldest.id
          AND (oldest.at < $1 OR oldest.at <= $2::timestamptz) RETURNING audit.at
      ) SELECT count(*)::int AS count, '0' AS position, max(at) AS until FROM gone`,
    forgotten: "audit",
  },
  // Strangers' first: they never push out those who hold a token.
  refusedJoins: {
    beyond: "SELECT at AS key FROM refused_joins WHERE host_name <> '' ORDER BY at DESC OFFSET $1 LIMIT 1",
    remove: `WITH ranked AS (
        SELECT id, at, host_name, row_number() OVER (PARTITION BY host_name = '' ORDER BY at DESC) AS place FROM refused_joins
      ), oldest AS (
        SELECT joins.id FROM refused_joins AS joins JOIN ranked ON ranked.id = joins.id
        WHERE ranked.at < $1 OR (ranked.host_name <> '' AND ranked.at <= $2::timestamptz)
          OR (ranked.host_name = '' AND ranked.place > ${1_000})
        ORDER BY ranked.at LIMIT $3 FOR UPDATE OF joins SKIP LOCKED
      ), gone AS (
        DELETE FROM refused_joins USING oldest WHERE refused_joins.id = oldest.id RETURNING refused_joins.at
      ) SELECT count(*)::int AS count, '0' AS position, max(at) AS until FROM gone`,
  },
  /**
   * An operation with parts goes with all of them, and they first. What has not ended stays, and so does the last operation of
   * each decky.
   */
  operations: {
    beyond: "SELECT created_at AS key FROM operations ORDER BY created_at DESC, id OFFSET $1 LIMIT 1",
    remove: `WITH root AS (
        SELECT operation.id, operation.created_at FROM operations AS operation
        WHERE operation.parent IS NULL AND operation.state NOT IN ('pending', 'running')
          AND (operation.created_at < $1 AND operation.finished_at < $1
            OR operation.created_at <= $2::timestamptz AND operation.finished_at <= now() - interval '${requestsMs} ms')
          AND NOT EXISTS (SELECT FROM operations AS part
            WHERE part.parent = operation.id AND part.state IN ('pending', 'running'))
          AND operation.id NOT IN (SELECT last_operation FROM deckies WHERE last_operation IS NOT NULL)
          AND NOT EXISTS (SELECT FROM operations AS part JOIN deckies ON deckies.last_operation = part.id
            WHERE part.parent = operation.id)
        ORDER BY operation.created_at LIMIT 50 FOR UPDATE OF operation SKIP LOCKED
      ), oldest AS (
        SELECT part.id, 0 AS turn FROM operations AS part JOIN root ON part.parent = root.id
        UNION ALL
        SELECT root.id, 1 FROM root WHERE NOT EXISTS (SELECT FROM operations AS part WHERE part.parent = root.id)
        ORDER BY turn LIMIT $3
      ), gone AS (
        DELETE FROM operations USING oldest WHERE operations.id = oldest.id RETURNING operations.created_at
      ) SELECT count(*)::int AS count, '0' AS position, max(created_at) AS until FROM gone`,
    forgotten: "operations",
  },
  // What a decky is, was seen to be and goes back to stays, and so does what an operation began with that has not ended.
  revisions: {
    beyond: "SELECT $1::int AS key",
    remove: `WITH oldest AS (
        SELECT revision.decky_id, revision.number FROM deckies AS decky JOIN decky_revisions AS revision
          ON revision.decky_id = decky.id AND revision.number <= decky.desired_revision - $2::int
        WHERE decky.desired_revision > $2::int AND (revision.created_at < $1
            OR revision.number <= decky.desired_revision - ${mostRevisions})
          AND revision.number NOT IN (decky.desired_revision, decky.applied_revision, decky.rendered_revision)
          AND NOT EXISTS (SELECT FROM operations AS operation
            WHERE operation.decky_id = decky.id AND operation.state IN ('pending', 'running')
              AND revision.number IN (operation.revision, operation.revision - 1))
        LIMIT $3 FOR UPDATE OF revision SKIP LOCKED
      ), gone AS (
        DELETE FROM decky_revisions AS revision USING oldest
          WHERE revision.decky_id = oldest.decky_id AND revision.number = oldest.number RETURNING revision.created_at
      ) SELECT count(*)::int AS count, '0' AS position, max(created_at) AS until FROM gone`,
  },
  // A token that was used may be shown again by the same worker until it ends.
  joinTokens: {
    beyond: `SELECT least(expires_at, revoked_at) AS key FROM join_tokens WHERE least(expires_at, revoked_at) < now()
        ORDER BY key DESC, id OFFSET $1 LIMIT 1`,
    remove: `WITH oldest AS (
        SELECT id FROM join_tokens
        WHERE least(expires_at, revoked_at) < now()
          AND (least(expires_at, revoked_at) < $1 OR least(expires_at, revoked_at) <= $2::timestamptz)
        ORDER BY least(expires_at, revoked_at) LIMIT $3 FOR UPDATE SKIP LOCKED
      ), gone AS (
        DELETE FROM join_tokens USING oldest WHERE join_tokens.id = oldest.id RETURNING join_tokens.expires_at
      ) SELECT count(*)::int AS count, '0' AS position, max(expires_at) AS until FROM gone`,
  },
};

type Batch = (subject: Subject, values: readonly unknown[]) => Promise<number>;

export function createRetention(database: Database): Retention {
  const isMine = async (tx: Tx): Promise<boolean> => {
    const rows: { mine: boolean }[] = await managerOf(tx).query("SELECT pg_try_advisory_xact_lock($1) AS mine", [retentionLock]);
    return rows[0]?.mine === true;
  };

  const removeBatch: Batch = ({ remove, forgotten }, values) =>
    database.transaction(async (tx) => {
      if (!(await isMine(tx))) return 0;
      const rows: Gone[] = await managerOf(tx).query(remove, [...values]);
      const { count = 0, position = null, until = null } = rows[0] ?? {};
      if (forgotten !== undefined && until !== null)
        await noteForgotten(tx, forgotten, { position: position ?? "0", until } satisfies Forgotten);
      return count;
    });

  const sweepOne = async (
    subject: Subject,
    keep: Keep,
    signal: AbortSignal,
    { more = [], act = removeBatch }: { readonly more?: readonly unknown[]; readonly act?: Batch } = {},
  ): Promise<number> => {
    const beyond = await database.read(async (tx): Promise<unknown> => {
      const rows: { key: unknown }[] = await managerOf(tx).query(subject.beyond, [keep.rows]);
      return rows[0]?.key ?? null;
    });
    const values = [new Date(Date.now() - keep.ms), beyond, batchSize, ...more];
    let removed = 0;
    for (let batch = 0; batch < mostBatches && !signal.aborted; batch += 1) {
      const count = await act(subject, values);
      removed += count;
      if (count === 0) break;
    }
    return removed;
  };

  const sweepEvents = async ({ events, unsentEvents: unsent }: RetentionLimits, signal: AbortSignal) => {
    if (unsent === undefined)
      return { events: await sweepOne(subjects.events, events, signal, { more: [null, null] }), dropped: 0 };
    const sent = await database.read(sentPosition);
    const removed = await sweepOne(subjects.events, events, signal, { more: [sent, null] });
    // What the bus has is kept as long as what it has not.
    const most = { ms: Math.max(events.ms, unsent.ms), rows: Math.max(events.rows, unsent.rows) };
    let dropped = 0;
    const act: Batch = (subject, values) =>
      database.transaction(async (tx) => {
        if (!(await isMine(tx))) return 0;
        const { count, unsent: lost } = await dropUnsent(tx, subject.remove, values);
        dropped += lost;
        return count;
      });
    return { events: removed + (await sweepOne(subjects.events, most, signal, { more: [null], act })), dropped };
  };

  return {
    async sweep(limits, signal) {
      const { events, dropped } = await sweepEvents(limits, signal);
      const removed = { audit: 0, events, operations: 0, refusedJoins: 0, revisions: 0, joinTokens: 0, dropped };
      for (const name of Object.keys(subjects) as Kept[])
        if (name !== "events") removed[name] = await sweepOne(subjects[name], limits[name], signal);
      return removed;
    },
  };
}
