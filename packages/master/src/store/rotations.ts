import type { MadeRevision } from "../decide/rotation.ts";
import type { StoredService } from "../model/decky.ts";
import type { OperationState } from "../model/operation.ts";
import type { Rotation, RotationSetting, RotationWishes } from "../model/rotation.ts";
import { type Database, runIn, type Tx } from "./database.ts";
import type { SealedService, Sealing } from "./sealing.ts";

/** A rotation as it is asked for. */
export interface WantedRotation {
  readonly deckyId: string;
  readonly setting: RotationSetting;
  /** Of the services that were asked for with it: the same again leave those alone that rotated meanwhile. */
  readonly startDigest: string;
  readonly firstDelayMs: number;
}

/** One whose time has come. */
export interface DueRotation {
  readonly rotation: Rotation;
  readonly scope: string;
  readonly decky: string;
  readonly host: string;
}

/** What is to be noted about: the same time as before, or the same operation. Otherwise another master noted it already. */
export type RotationAsRead = { readonly nextAt: Date } | { readonly operationId: string };

/** One whose last operation has ended. */
export interface EndedRotation {
  readonly deckyId: string;
  readonly operationId: string;
  readonly everySeconds: number;
  readonly failures: number;
  /** Null: the operation is kept no longer. */
  readonly state: OperationState | null;
  readonly message: string;
}

export interface FailedRotation {
  /** One after the other. */
  readonly failures: number;
  readonly message: string;
  /** Until it is tried again. */
  readonly delayMs: number;
}

/** What was made of a decky since its rotation last looked. */
export interface UnseenRevisions {
  readonly deckyId: string;
  readonly wishes: RotationWishes;
  readonly before: readonly StoredService[];
  readonly revisions: readonly MadeRevision[];
  readonly newest: number;
}

/** Which deckies rotate, and when. All times are the database's own. */
export interface RotationStore {
  /** Those of a scope are these, and no others. One whose setting stays keeps its time. */
  replace(tx: Tx, scope: string, wanted: readonly WantedRotation[]): Promise<void>;
  /** By decky, of a scope: what their services were asked for with. */
  startDigests(tx: Tx, scope: string): Promise<Map<string, string>>;
  of(deckyIds: readonly string[]): Promise<Map<string, Rotation>>;
  /** Whose time has come, and that nothing else is done about: they run, on one of these hosts. */
  due(hosts: readonly string[], most: number): Promise<DueRotation[]>;
  ended(most: number): Promise<EndedRotation[]>;
  /** Of deckies that nothing is done about now. */
  unseen(most: number): Promise<UnseenRevisions[]>;
  /** What services of a decky were last set to, whenever that was. */
  lastSettings(deckyId: string): Promise<Map<string, StoredService>>;
  noteWishes(deckyId: string, wishes: RotationWishes, newest: number): Promise<void>;
  /** An operation was begun for it. Nothing happens when its time is another one by now. */
  noteBegun(deckyId: string, nextAt: Date, operationId: string, delayMs: number): Promise<void>;
  /** It is over, and did what it should or not; either way the next one has its time already. */
  noteOver(deckyId: string, operationId: string, hasRotated: boolean): Promise<void>;
  noteFailed(deckyId: string, asRead: RotationAsRead, failure: FailedRotation): Promise<void>;
}

interface RotationRow {
  readonly decky_id: string;
  readonly every_seconds: number;
  readonly services: string[];
  readonly next_at: Date;
  readonly last_at: Date | null;
  readonly failures: number;
  readonly message: string;
  readonly pinned: string[];
  readonly barred: string[];
}

const drop = {
  name: "decnet-drop-rotations",
  text: `DELETE FROM rotations USING deckies AS decky WHERE decky.id = rotations.decky_id AND decky.scope = $1
    AND NOT (rotations.decky_id = ANY ($2::uuid[]))`,
};
const put = {
  name: "decnet-put-rotations",
  text: `INSERT INTO rotations (decky_id, every_seconds, services, start_digest, next_at, seen_revision)
    SELECT decky.id, given.every_seconds, ARRAY(SELECT jsonb_array_elements_text(given.services)), given.start_digest,
      now() + given.delay_ms * interval '1 millisecond', decky.desired_revision
    FROM jsonb_to_recordset($1::jsonb)
      AS given (decky_id uuid, every_seconds int, services jsonb, start_digest text, delay_ms double precision)
    JOIN deckies AS decky ON decky.id = given.decky_id AND NOT decky.leaving
    ON CONFLICT (decky_id) DO UPDATE SET
      services = excluded.services,
      next_at = CASE WHEN rotations.every_seconds = excluded.every_seconds THEN rotations.next_at ELSE excluded.next_at END,
      every_seconds = excluded.every_seconds,
      failures = 0,
      message = '',
      start_digest = excluded.start_digest,
      pinned = CASE WHEN rotations.start_digest = excluded.start_digest THEN rotations.pinned ELSE '{}' END,
      barred = CASE WHEN rotations.start_digest = excluded.start_digest THEN rotations.barred ELSE '{}' END,
      seen_revision = CASE WHEN rotations.start_digest = excluded.start_digest THEN rotations.seen_revision
        ELSE excluded.seen_revision END`,
};
const starts = {
  name: "decnet-rotation-starts",
  text: `SELECT rotations.decky_id, rotations.start_digest FROM rotations
    JOIN deckies AS decky ON decky.id = rotations.decky_id WHERE decky.scope = $1`,
};
const byDecky = { name: "decnet-rotations", text: "SELECT * FROM rotations WHERE decky_id = ANY ($1::uuid[])" };
const isQuiet = `NOT EXISTS (SELECT FROM operations AS open
  WHERE open.decky_id = decky.id AND open.state IN ('pending', 'running'))`;
const due = {
  name: "decnet-due-rotations",
  text: `SELECT rotations.*, decky.scope, decky.name, decky.host FROM rotations
    JOIN deckies AS decky ON decky.id = rotations.decky_id
    LEFT JOIN topologies AS topology ON topology.id = decky.scope
    WHERE rotations.next_at <= now() AND rotations.operation_id IS NULL
      AND decky.host = ANY ($1) AND decky.state = 'running' AND NOT decky.leaving AND NOT decky.repair_paused
      AND decky.applied_revision = decky.desired_revision AND decky.ahead_revision <= decky.desired_revision
      AND (decky.scope = 'fleet' OR topology.state IN ('active', 'degraded')) AND ${isQuiet}
    ORDER BY rotations.next_at LIMIT $2`,
};
const ended = {
  name: "decnet-ended-rotations",
  text: `SELECT rotations.decky_id, rotations.operation_id, rotations.every_seconds, rotations.failures, operation.state,
      coalesce(operation.error ->> 'message', '') AS message
    FROM rotations LEFT JOIN operations AS operation ON operation.id = rotations.operation_id
    WHERE rotations.operation_id IS NOT NULL AND (operation.id IS NULL OR operation.state NOT IN ('pending', 'running'))
    LIMIT $1`,
};
const unseen = {
  name: "decnet-unseen-revisions",
  text: `SELECT rotations.decky_id, rotations.seen_revision, rotations.pinned, rotations.barred FROM rotations
    JOIN deckies AS decky ON decky.id = rotations.decky_id
    WHERE decky.desired_revision > rotations.seen_revision AND ${isQuiet} LIMIT $1`,
};
const made = {
  name: "decnet-made-revisions",
  text: `SELECT revision.number, revision.services, revision.actor, operation.kind, operation.state,
      coalesce((operation.error ->> 'undone')::boolean, false) AS undone
    FROM decky_revisions AS revision LEFT JOIN operations AS operation ON operation.id = revision.operation_id
    WHERE revision.decky_id = $1 AND revision.number >= $2 ORDER BY revision.number LIMIT 1000`,
};
const last = {
  name: "decnet-last-settings",
  text: `SELECT DISTINCT ON (service ->> 'slug') service FROM decky_revisions AS revision,
      jsonb_array_elements(revision.services) AS service
    WHERE revision.decky_id = $1 ORDER BY service ->> 'slug', revision.number DESC`,
};
const noteWishes = {
  name: "decnet-note-wishes",
  text: "UPDATE rotations SET pinned = $2, barred = $3, seen_revision = $4 WHERE decky_id = $1",
};
const noteBegun = {
  name: "decnet-note-rotation",
  text: `UPDATE rotations SET operation_id = $3, next_at = now() + $4 * interval '1 millisecond'
    WHERE decky_id = $1 AND date_trunc('milliseconds', next_at) = $2`,
};
const noteOver = {
  name: "decnet-note-rotated",
  text: `UPDATE rotations SET operation_id = NULL, failures = 0, message = '',
    last_at = CASE WHEN $3::boolean THEN now() ELSE last_at END WHERE decky_id = $1 AND operation_id = $2`,
};
const noteFailed = {
  name: "decnet-note-not-rotated",
  text: `UPDATE rotations SET operation_id = NULL, failures = $2, message = $3,
    next_at = now() + $4 * interval '1 millisecond' WHERE decky_id = $1
      AND (operation_id = $5 OR (operation_id IS NULL AND date_trunc('milliseconds', next_at) = $6::timestamptz))`,
};

export function createRotationStore(database: Database, sealing: Sealing): RotationStore {
  const write = async (statement: typeof noteWishes, values: readonly unknown[]): Promise<void> => {
    await database.run(statement, values);
  };
  const madeOf = async ({ decky_id: deckyId, seen_revision: seen, pinned, barred }: UnseenRow): Promise<UnseenRevisions> => {
    const rows = await database.run<MadeRow>(made, [deckyId, seen]);
    const revisions = rows.map(({ services, number: _, ...rest }) => ({ ...rest, services: sealing.open(deckyId, services) }));
    const isThere = rows[0]?.number === seen;
    return {
      deckyId,
      wishes: { pinned, barred },
      before: isThere ? (revisions[0]?.services ?? []) : [],
      revisions: isThere ? revisions.slice(1) : revisions,
      newest: rows.at(-1)?.number ?? seen,
    };
  };
  return {
    async replace(tx, scope, wanted) {
      await runIn(tx, drop, [scope, wanted.map(({ deckyId }) => deckyId)]);
      if (wanted.length === 0) return;
      const rows = wanted.map(({ deckyId, setting, startDigest, firstDelayMs }) => ({
        decky_id: deckyId,
        every_seconds: setting.everySeconds,
        services: setting.services,
        start_digest: startDigest,
        delay_ms: firstDelayMs,
      }));
      await runIn(tx, put, [JSON.stringify(rows)]);
    },
    async startDigests(tx, scope) {
      const rows = await runIn<{ decky_id: string; start_digest: string }>(tx, starts, [scope]);
      return new Map(rows.map((row) => [row.decky_id, row.start_digest]));
    },
    async of(deckyIds) {
      const rows = deckyIds.length === 0 ? [] : await database.run<RotationRow>(byDecky, [deckyIds]);
      return new Map(rows.map((row) => [row.decky_id, toRotation(row)]));
    },
    async due(hosts, most) {
      const rows = await database.run<RotationRow & { scope: string; name: string; host: string }>(due, [[...hosts], most]);
      return rows.map((row) => ({ rotation: toRotation(row), scope: row.scope, decky: row.name, host: row.host }));
    },
    async ended(most) {
      const rows = await database.run<EndedRow>(ended, [most]);
      return rows.map(({ decky_id: deckyId, operation_id: operationId, every_seconds: everySeconds, ...rest }) => ({
        ...{ deckyId, operationId, everySeconds },
        ...rest,
      }));
    },
    async unseen(most) {
      const rows = await database.run<UnseenRow>(unseen, [most]);
      const found: UnseenRevisions[] = [];
      for (const row of rows) found.push(await madeOf(row));
      return found;
    },
    async lastSettings(deckyId) {
      const rows = await database.run<{ service: SealedService }>(last, [deckyId]);
      const services = sealing.open(
        deckyId,
        rows.map(({ service: { slug, config } }) => ({ slug, config })),
      );
      return new Map(services.map((service) => [service.slug, service]));
    },
    noteWishes: (deckyId, { pinned, barred }, newest) => write(noteWishes, [deckyId, pinned, barred, newest]),
    noteBegun: (deckyId, nextAt, operationId, delayMs) => write(noteBegun, [deckyId, nextAt, operationId, delayMs]),
    noteOver: (deckyId, operationId, hasRotated) => write(noteOver, [deckyId, operationId, hasRotated]),
    noteFailed(deckyId, asRead, { failures, message, delayMs }) {
      const same = "operationId" in asRead ? [asRead.operationId, null] : [null, asRead.nextAt];
      return write(noteFailed, [deckyId, failures, message.slice(0, 1_000), delayMs, ...same]);
    },
  };
}

interface EndedRow extends Omit<EndedRotation, "deckyId" | "operationId" | "everySeconds"> {
  readonly decky_id: string;
  readonly operation_id: string;
  readonly every_seconds: number;
}

interface UnseenRow extends RotationWishes {
  readonly decky_id: string;
  readonly seen_revision: number;
}

interface MadeRow extends Omit<MadeRevision, "services"> {
  readonly number: number;
  readonly services: SealedService[];
}

function toRotation(row: RotationRow): Rotation {
  return {
    deckyId: row.decky_id,
    setting: { everySeconds: row.every_seconds, services: row.services },
    nextAt: row.next_at,
    lastAt: row.last_at,
    failures: row.failures,
    message: row.message,
    pinned: row.pinned,
    barred: row.barred,
  };
}
