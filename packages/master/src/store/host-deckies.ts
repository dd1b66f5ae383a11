import type { Decky } from "../model/decky.ts";
import { createCodec } from "./codec.ts";
import { ArrayContains, In, Not } from "./conditions.ts";
import { type Database, runIn, type Tx } from "./database.ts";
import { Deckies, DriftChecks } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { upsertRows } from "./write.ts";

export interface HostCounts {
  /** Deckies by state. */
  readonly states: Readonly<Record<string, number>>;
  /** Operations of theirs that have not ended. */
  readonly waiting: number;
}

/** Deckies as the hosts and scopes that they belong to see them. */
export interface HostDeckies {
  /** Deckies of a scope by name, or of a host. */
  ofScope(tx: Tx, scope: string): Promise<Decky[]>;
  ofHost(tx: Tx, host: string): Promise<Decky[]>;
  /** Locks them until the transaction ends, in the order of their ids. */
  lockScope(tx: Tx, scope: string): Promise<void>;
  lockHost(tx: Tx, host: string): Promise<void>;
  /** Id and version of each decky of a host. */
  versions(host: string): Promise<{ readonly id: string; readonly version: number }[]>;
  /**
   * Deckies with open operations, of which something is wanted that is not there, or that have to be removed from a host; all, or
   * those that a host has to do with.
   */
  unfinished(host?: string): Promise<{ readonly id: string; readonly host: string }[]>;
  /** Those that still have to be removed from a host. */
  toRemoveFrom(tx: Tx, host: string): Promise<Decky[]>;
  /** Nothing is known of a host's deckies any more. Returns those of which something was, as they were. */
  markUnknown(tx: Tx, host: string, message: string): Promise<Decky[]>;
  /** Whether something is known of any decky of a host. */
  isAnyKnown(host: string): Promise<boolean>;
  /** Deckies that live on a host or still have to be removed from it. */
  concerning(tx: Tx, host: string): Promise<Decky[]>;
  /** Those that are there. */
  withIds(tx: Tx, ids: readonly string[]): Promise<Decky[]>;
  /** Those of these ids of which an operation is known: they are or were deckies of this database. */
  everKnown(tx: Tx, ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** Those of which a host has a later revision than is known here, and that stay. */
  behind(host: string): Promise<Decky[]>;
  /** What is not known of the revisions after one counts as that one, so that none is missing in the middle. */
  fillRevisions(id: string, after: number, last: number): Promise<void>;
  /** Locks those that are there, in the order of their ids. */
  lockNamed(tx: Tx, names: readonly { readonly scope: string; readonly name: string }[]): Promise<Decky[]>;
  /** The host exists no longer: nothing has to be removed from it, and nothing ran there. */
  forgetHost(tx: Tx, host: string): Promise<void>;
  deleteAll(tx: Tx, ids: readonly string[]): Promise<void>;
  /** Live on the host, or have to be removed from it; and those that nobody tears down. */
  countOf(tx: Tx, host: string): Promise<{ readonly left: number; readonly staying: number }>;
  /** How many deckies live on each host. */
  countPerHost(tx: Tx): Promise<Map<string, number>>;
  countByHost(): Promise<Map<string, HostCounts>>;
  noteDriftCheck(host: string, checkedAt: Date): Promise<void>;
}

const codec = createCodec(Deckies);

export function createHostDeckies(database: Database): HostDeckies {
  const repository = (tx: Tx) => managerOf(tx).getRepository(Deckies);
  return {
    ofScope: (tx, scope) => repository(tx).find({ where: { scope }, order: { name: "ASC" } }),
    ofHost: (tx, host) => repository(tx).find({ where: { host }, order: { name: "ASC" } }),
    lockScope: async (tx, scope) => void (await runIn(tx, lockByScope, [scope])),
    lockHost: async (tx, host) => void (await runIn(tx, lockByHost, [host])),
    versions: (host) =>
      database.run({ name: "decnet-versions", text: "SELECT id, version FROM deckies WHERE host = $1" }, [host]),
    unfinished: (host) => database.run(unfinished, [host ?? null]),
    toRemoveFrom: (tx, host) => repository(tx).findBy({ pendingRemovals: ArrayContains([host]) }),
    markUnknown: async (tx, host, message) => {
      const rows = await repository(tx)
        .createQueryBuilder("decky")
        .setLock("pessimistic_write")
        .where("decky.host = :host AND decky.state <> 'unknown'", { host })
        .orderBy("decky.id")
        .getMany();
      await managerOf(tx).query(
        "UPDATE deckies SET state = 'unknown', message = $2, version = version + 1 WHERE host = $1 AND state <> 'unknown'",
        [host, message],
      );
      return rows;
    },
    isAnyKnown: (host) => database.read((tx) => repository(tx).existsBy({ host, state: Not<Decky["state"]>("unknown") })),
    concerning: (tx, host) => repository(tx).findBy([{ host }, { pendingRemovals: ArrayContains([host]) }]),
    withIds: async (tx, ids) => (ids.length === 0 ? [] : repository(tx).findBy({ id: In([...ids]) })),
    everKnown: async (tx, ids) =>
      new Set(ids.length === 0 ? [] : (await runIn<{ id: string }>(tx, everKnown, [ids])).map(({ id }) => id)),
    behind: (host) =>
      database.read((tx) =>
        repository(tx)
          .createQueryBuilder("decky")
          .where("decky.host = :host AND NOT decky.leaving AND decky.ahead_revision > decky.desired_revision", { host })
          .orderBy("decky.id")
          .getMany(),
      ),
    fillRevisions: async (id, after, last) => void (await database.run(fillRevisions, [id, after, last])),
    lockNamed: async (tx, names) => {
      const rows = await runIn<{ decky: Record<string, unknown> }>(tx, lockNamed, [JSON.stringify(names)]);
      return rows.map(({ decky }) => codec.fromJson(decky));
    },
    async forgetHost(tx, host) {
      await managerOf(tx).query(
        `UPDATE deckies SET pending_removals = array_remove(pending_removals, $1), last_host = nullif(last_host, $1),
             version = version + 1
           WHERE $1 = ANY (pending_removals) OR last_host = $1`,
        [host],
      );
    },
    async deleteAll(tx, ids) {
      await repository(tx).delete({ id: In([...ids]) });
    },
    async countOf(tx, host) {
      const rows: { left: number; staying: number }[] = await managerOf(tx).query(
        `SELECT count(*)::int AS left, count(*) FILTER (WHERE host = $1 AND NOT leaving)::int AS staying
         FROM deckies WHERE host = $1 OR $1 = ANY (pending_removals)`,
        [host],
      );
      return rows[0] ?? { left: 0, staying: 0 };
    },
    async countPerHost(tx) {
      const rows: { host: string; count: number }[] = await managerOf(tx).query(
        "SELECT host, count(*)::int AS count FROM deckies GROUP BY host",
      );
      return new Map(rows.map(({ host, count }) => [host, count]));
    },
    async countByHost() {
      const rows: { host: string; state: string; count: number; waiting: number }[] = await database.read((tx) =>
        managerOf(tx).query(
          `SELECT decky.host, decky.state, count(*)::int AS count, sum((SELECT count(*) FROM operations
             WHERE decky_id = decky.id AND operations.state IN ('pending', 'running')))::int AS waiting
           FROM deckies AS decky GROUP BY decky.host, decky.state`,
        ),
      );
      const counted = new Map<string, HostCounts>();
      for (const { host, state, count, waiting } of rows) {
        const entry = counted.get(host) ?? { states: {}, waiting: 0 };
        counted.set(host, { states: { ...entry.states, [state]: count }, waiting: entry.waiting + waiting });
      }
      return counted;
    },
    noteDriftCheck: (host, checkedAt) => database.write((tx) => upsertRows(tx, DriftChecks, [{ host, checkedAt }], ["host"])),
  };
}

const everKnown = {
  name: "decnet-ever-known",
  text: "SELECT DISTINCT decky_id AS id FROM operations WHERE decky_id = ANY ($1::uuid[])",
};
const lockByScope = {
  name: "decnet-lock-scope",
  text: "SELECT id FROM deckies WHERE scope = $1 ORDER BY id FOR NO KEY UPDATE",
};
const lockByHost = {
  name: "decnet-lock-host",
  text: "SELECT id FROM deckies WHERE host = $1 ORDER BY id FOR NO KEY UPDATE",
};
const lockNamed = {
  name: "decnet-lock-named",
  text: `SELECT row_to_json(decky) AS decky FROM deckies AS decky
    WHERE (decky.scope, decky.name) IN (SELECT scope, name FROM json_to_recordset($1) AS given (scope text, name text))
    ORDER BY decky.id FOR NO KEY UPDATE`,
};
const fillRevisions = {
  name: "decnet-fill-revisions",
  text: `INSERT INTO decky_revisions (decky_id, number, services, actor, reason, operation_id, created_at)
    SELECT $1, lost.number, known.services, 'restore', 'not known here: the database was restored from before it', '', now()
    FROM decky_revisions AS known, generate_series($2::int + 1, $3::int) AS lost (number)
    WHERE known.decky_id = $1 AND known.number = $2 ON CONFLICT DO NOTHING`,
};
/** What is wanted and is not there is tried again, unless a failure is kept: see isUnapplied. */
const unfinished = {
  name: "decnet-unfinished",
  text: `SELECT id, host FROM deckies
      WHERE NOT repair_paused AND (leaving OR applied_revision <> desired_revision OR rendered_revision = 0)
        AND ($1::text IS NULL OR host = $1)
    UNION SELECT id, host FROM deckies WHERE pending_removals <> '{}' AND ($1::text IS NULL OR $1 = ANY (pending_removals))
    UNION SELECT decky.id, decky.host FROM deckies AS decky JOIN operations AS operation
      ON operation.decky_id = decky.id AND operation.state IN ('pending', 'running')
    WHERE $1::text IS NULL OR decky.host = $1`,
};
