import { AppError } from "@decnet/common/errors/app-error";
import type { Decky, NewRevision, Revision, StoredService } from "../model/decky.ts";
import { createCodec } from "./codec.ts";
import { ArrayContains, In, Not } from "./conditions.ts";
import { type Database, runIn, type Tx } from "./database.ts";
import { type FilterConditions, type ListedRows, type ListRequest, listRows } from "./list-rows.ts";
import type { SealedService, Sealing } from "./sealing.ts";
import { Deckies, DriftChecks, type RevisionRow, Revisions } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertJson, upsertRows } from "./write.ts";

/** A decky as it is shown. */
export interface ShownDecky {
  readonly decky: Decky;
  /** Of the desired revision. */
  readonly services: readonly StoredService[];
  /** When it was last seen as it is stored. */
  readonly seenAt: Date | undefined;
}

/** A revision beside the one that it is compared with. */
export interface ComparedRevision {
  readonly revision: Revision;
  readonly before: readonly StoredService[];
}

export interface HostCounts {
  /** Deckies by state. */
  readonly states: Readonly<Record<string, number>>;
  /** Operations of theirs that have not ended. */
  readonly waiting: number;
}

/** Deckies and their revisions: looking them up. What becomes of them is stored by Resolutions. */
export interface DeckyStore {
  /** Throws DECKY_NOT_FOUND. */
  show(scope: string, name: string): Promise<ShownDecky>;
  list(request: ListRequest): Promise<ListedRows<ShownDecky>>;
  /** Names of the deckies that fit, in order; `size` at most. */
  names(request: ListRequest): Promise<string[]>;
  /** Revisions of one decky, newest first: one, or a page. Throws DECKY_NOT_FOUND or REVISION_NOT_FOUND. */
  revisions(request: RevisionsRequest): Promise<{ readonly revisions: ComparedRevision[]; readonly next: number | undefined }>;
  /** Deckies of a scope by name, or of a host. */
  ofScope(tx: Tx, scope: string): Promise<Decky[]>;
  ofHost(tx: Tx, host: string): Promise<Decky[]>;
  /** Locks them until the transaction ends, in the order of their ids. */
  lockScope(tx: Tx, scope: string): Promise<void>;
  lockHost(tx: Tx, host: string): Promise<void>;
  /** Those of the given ids that are there. */
  showAll(ids: readonly string[]): Promise<ShownDecky[]>;
  /** Services of the desired revision of many deckies. */
  desiredServices(tx: Tx, deckies: readonly Decky[]): Promise<Map<string, StoredService[]>>;
  /** Stores deckies that are new, with their first revisions. */
  insertNew(tx: Tx, deckies: readonly Decky[], revisions: readonly NewRevision[]): Promise<void>;
  /** Id and version of each decky of a host. */
  versions(host: string): Promise<{ readonly id: string; readonly version: number }[]>;
  /** Deckies with open operations, or that have to be removed from a host; all, or those that a host has to do with. */
  unfinished(host?: string): Promise<{ readonly id: string; readonly host: string }[]>;
  /** Those that still have to be removed from a host. */
  toRemoveFrom(tx: Tx, host: string): Promise<Decky[]>;
  /** Nothing is known of a host's deckies any more. Returns those of which something was, as they were. */
  markUnknown(tx: Tx, host: string, message: string): Promise<Decky[]>;
  /** Whether something is known of any decky of a host. */
  isAnyKnown(host: string): Promise<boolean>;
  /** Deckies that live on a host or still have to be removed from it. */
  concerning(tx: Tx, host: string): Promise<Decky[]>;
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

export interface RevisionsRequest {
  readonly scope: string;
  readonly name: string;
  /** Undefined: a page of them. */
  readonly revision: number | undefined;
  /** Undefined: the one before each. */
  readonly compareTo: number | undefined;
  readonly page: { readonly size: number; readonly offset: number };
}

/** What a filter of deckies such as `state!=running,host=edge-*` can name. */
const deckyConditions: FilterConditions = {
  name: (comparison) => `decky.name ${comparison}`,
  state: (comparison) => `decky.state ${comparison}`,
  host: (comparison) => `decky.host ${comparison}`,
  service: (comparison) =>
    `EXISTS (SELECT FROM decky_revisions AS wanted, jsonb_array_elements(wanted.services) AS service
      WHERE wanted.decky_id = decky.id AND wanted.number = decky.desiredRevision AND service ->> 'slug' ${comparison})`,
  archetype: (comparison) => `decky.identity ->> 'archetype' ${comparison}`,
  distro: (comparison) => `decky.identity ->> 'distro' ${comparison}`,
};

/** Keys of such a filter. */
export const deckyFilterKeys = Object.keys(deckyConditions);

const deckyCodec = createCodec(Deckies);
const revisionCodec = createCodec(Revisions);

export function deckyNotFound(scope: string, name: string): AppError {
  return new AppError("DECKY_NOT_FOUND", `there is no decky ${JSON.stringify(name)}`, {
    metadata: { decky: name, scope },
    resource: { type: "decky", name },
  });
}

export function revisionNotFound(decky: string, number: number): AppError {
  return new AppError("REVISION_NOT_FOUND", `${decky} has no revision ${number}`, {
    metadata: { decky, revision: String(number) },
    resource: { type: "revision", name: `${decky}@${number}` },
  });
}

export function createDeckyStore(database: Database, sealing: Sealing): DeckyStore {
  const open = ({ services, ...row }: RevisionRow): Revision => ({ ...row, services: sealing.open(row.deckyId, services) });

  const desiredServices: DeckyStore["desiredServices"] = async (tx, deckies) => {
    if (deckies.length === 0) return new Map();
    const rows: { id: string; services: SealedService[] }[] = await managerOf(tx).query(
      `SELECT decky.id, revision.services FROM deckies AS decky
         JOIN decky_revisions AS revision ON revision.decky_id = decky.id AND revision.number = decky.desired_revision
       WHERE decky.id = ANY ($1)`,
      [deckies.map((decky) => decky.id)],
    );
    return new Map(rows.map(({ id, services }) => [id, sealing.open(id, services)]));
  };

  const find = async (tx: Tx, scope: string, name: string): Promise<Decky> => {
    const found = await managerOf(tx).getRepository(Deckies).findOneBy({ scope, name });
    if (found === null) throw deckyNotFound(scope, name);
    return found;
  };

  const revision = async (tx: Tx, { id, name }: Decky, number: number): Promise<Revision> => {
    const row = await managerOf(tx).getRepository(Revisions).findOneBy({ deckyId: id, number });
    if (row === null) throw revisionNotFound(name, number);
    return open(row);
  };

  const show = async (tx: Tx, deckies: readonly Decky[]): Promise<ShownDecky[]> => {
    const [services, checks] = await Promise.all([desiredServices(tx, deckies), managerOf(tx).getRepository(DriftChecks).find()]);
    const checkedAt = new Map(checks.map((check) => [check.host, check.checkedAt]));
    return deckies.map((decky) => ({
      decky,
      services: services.get(decky.id) ?? [],
      seenAt: seenAt(decky, checkedAt.get(decky.host)),
    }));
  };

  const listed = (tx: Tx, request: ListRequest) =>
    listRows(
      managerOf(tx).getRepository(Deckies).createQueryBuilder("decky").orderBy({ "decky.scope": "ASC", "decky.name": "ASC" }),
      { ...request, conditions: deckyConditions, countBy: "decky.state" },
    );

  return {
    ...createHostQueries(database),
    desiredServices,
    show: (scope, name) =>
      database.read(async (tx) => {
        const [shown] = await show(tx, [await find(tx, scope, name)]);
        if (shown === undefined) throw deckyNotFound(scope, name);
        return shown;
      }),
    showAll: (ids) =>
      database.read(async (tx) =>
        show(
          tx,
          await managerOf(tx)
            .getRepository(Deckies)
            .findBy({ id: In([...ids]) }),
        ),
      ),
    list: (request) =>
      database.read(async (tx) => {
        const { rows, ...rest } = await listed(tx, request);
        return { ...rest, rows: await show(tx, rows) };
      }),
    names: (request) => database.read(async (tx) => (await listed(tx, request)).rows.map(({ name }) => name)),
    revisions: ({ scope, name, revision: single, compareTo, page }) =>
      database.read(async (tx) => {
        const decky = await find(tx, scope, name);
        const newest = decky.desiredRevision - page.offset;
        const count = Math.max(0, Math.min(page.size, newest));
        const numbers = single === undefined ? Array.from({ length: count }, (_, at) => newest - at) : [single];
        const revisions = [];
        for (const number of numbers) {
          const other = compareTo ?? number - 1;
          const before = other === 0 ? [] : (await revision(tx, decky, other)).services;
          revisions.push({ revision: await revision(tx, decky, number), before });
        }
        const next = page.offset + numbers.length;
        return { revisions, next: single === undefined && next < decky.desiredRevision ? next : undefined };
      }),
    async insertNew(tx, deckies, revisions) {
      const createdAt = new Date();
      await insertJson(tx, deckyCodec, deckies);
      const rows = revisions.map((each) => ({ ...each, services: sealing.seal(each.deckyId, each.services), createdAt }));
      await insertJson(tx, revisionCodec, rows);
    },
  };
}

/** A later drift check of the host found what is stored, unless the decky is being changed. */
function seenAt({ state, observedAt }: Decky, checkedAt: Date | undefined): Date | undefined {
  if (observedAt === null) return undefined;
  return state !== "changing" && checkedAt !== undefined && checkedAt > observedAt ? checkedAt : observedAt;
}

type HostQueries = Omit<DeckyStore, "show" | "showAll" | "list" | "names" | "revisions" | "desiredServices" | "insertNew">;

function createHostQueries(database: Database): HostQueries {
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
    lockNamed: async (tx, names) => {
      const rows = await runIn<{ decky: Record<string, unknown> }>(tx, lockNamed, [JSON.stringify(names)]);
      return rows.map(({ decky }) => deckyCodec.fromJson(decky));
    },
    async forgetHost(tx, host) {
      await managerOf(tx).query(
        `UPDATE deckies SET pending_removals = array_remove(pending_removals, $1), last_host = nullif(last_host, $1), version = version + 1
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
const unfinished = {
  name: "decnet-unfinished",
  text: `SELECT id, host FROM deckies WHERE pending_removals <> '{}' AND ($1::text IS NULL OR $1 = ANY (pending_removals))
    UNION SELECT decky.id, decky.host FROM deckies AS decky JOIN operations AS operation
      ON operation.decky_id = decky.id AND operation.state IN ('pending', 'running')
    WHERE $1::text IS NULL OR decky.host = $1`,
};
