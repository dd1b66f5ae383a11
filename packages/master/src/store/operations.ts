import { AppError } from "@decnet/common/errors/app-error";
import { endEvents, operationEvents } from "../model/events.ts";
import {
  type Operation,
  type OperationPatch,
  type OperationRecord,
  type OperationStep,
  openStates,
  type PlanRecord,
} from "../model/operation.ts";
import { createCodec } from "./codec.ts";
import { In } from "./conditions.ts";
import { type Database, runIn, type Tx } from "./database.ts";
import { forgottenOf, refuseForgottenPage } from "./forgotten.ts";
import { isHeld, type Lease } from "./leases.ts";
import { type FilterConditions, type ListedRows, type ListRequest, listRows } from "./list-rows.ts";
import { namedAs, topologyName } from "./named-as.ts";
import type { OperationLog } from "./operation-log.ts";
import type { EventLog } from "./outbox.ts";
import { unseenEnd } from "./resolutions.ts";
import { Operations, Steps } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertJson, updateRows } from "./write.ts";

/** What those who wait for an operation are shown of it meanwhile. */
export type WaitedFor = Pick<Operation, "state" | "deckyId" | "host">;

/** How the parts of an operation stand. */
export interface PartCounts {
  readonly done: number;
  readonly failed: number;
  readonly open: number;
}

/**
 * Operations are kept for as long as the settings say, and at least until they have ended; a row that has ended never changes
 * again. Those of deckies are changed by Resolutions alone.
 */
export interface OperationStore {
  insert(tx: Tx, rows: readonly Operation[]): Promise<void>;
  /** Changes an operation of many deckies, or open ones of deckies that are locked. */
  update(tx: Tx, ids: readonly string[], patch: OperationPatch): Promise<void>;
  /** Stores one that was done before it is stored, with its steps. */
  insertEnded(tx: Tx, row: Operation, steps: readonly OperationStep[]): Promise<void>;
  /** Stores an operation with one round trip. */
  add(row: Operation): Promise<void>;
  lock(tx: Tx, id: string): Promise<Operation | undefined>;
  openOfDeckies(tx: Tx, deckyIds: readonly string[]): Promise<Operation[]>;
  /** Open operations of a kind about a host. */
  openOfHost(tx: Tx, host: string, kind: Operation["kind"]): Promise<Operation[]>;
  /** Ids of the operations that these are parts of. */
  parentsOf(tx: Tx, ids: readonly string[]): Promise<string[]>;
  /** Ids of the deckies of a host that have operations which have not ended. */
  openDeckies(host: string): Promise<ReadonlySet<string>>;
  findByRequest(actor: string, requestId: string, tx?: Tx): Promise<Operation | undefined>;
  /** The parts of an operation that have not ended. */
  openParts(id: string): Promise<WaitedFor[]>;
  countParts(tx: Tx, id: string): Promise<PartCounts>;
  /** Throws OPERATION_NOT_FOUND. */
  get(id: string): Promise<OperationRecord>;
  waitedFor(id: string): Promise<WaitedFor | undefined>;
  list(request: ListRequest): Promise<ListedRows<Operation>>;
  /** Stores the progress of operations that have not ended, while the lease holds. */
  recordProgress(plans: ReadonlyMap<string, PlanRecord>, steps: readonly OperationStep[], lease: Lease): Promise<void>;
  /**
   * Steps that a master left in the middle have failed: of these operations, while the lease holds, or of all on the own host of
   * this master, which just starts, and on hosts that no other one has.
   */
  cutOffSteps(of: { readonly ids: readonly string[]; readonly lease: Lease } | { readonly ownHost: string }): Promise<void>;
  /** Batches that were never closed: a master ended in the middle of them. */
  openBatches(): Promise<{ readonly row: Operation; readonly parts: number }[]>;
}

const conditions: FilterConditions = {
  decky: (comparison) => namedAs("operation.scope", "operation.deckyName", comparison),
  topology: (comparison) => `${topologyName("operation.scope")} ${comparison}`,
  service: (comparison) => `operation.service ${comparison}`,
  state: (comparison) => `operation.state ${comparison}`,
  kind: (comparison) => `operation.kind ${comparison}`,
  actor: (comparison) => `operation.actor ${comparison}`,
  host: (comparison) => `operation.host ${comparison}`,
  parent: (comparison) => `coalesce(operation.parent, '') ${comparison}`,
};

/** What a filter of operations can name. */
export const operationFilterKeys = Object.keys(conditions);

const codec = createCodec(Operations);
const stepCodec = createCodec(Steps);
const isOpen = In([...openStates]);
const waitedFor = { state: true, deckyId: true, host: true } as const satisfies Record<keyof WaitedFor, true>;

export function createOperationStore(
  database: Database,
  events: Pick<EventLog, "append">,
  journal: OperationLog,
): OperationStore {
  const repository = (tx: Tx) => managerOf(tx).getRepository(Operations);
  const insert: OperationStore["insert"] = async (tx, rows) => {
    await insertJson(tx, codec, rows);
    // What there was nothing to do about has ended already.
    events.append(tx, rows.flatMap(endEvents));
    tx.afterwards(() => rows.forEach(journal.accepted));
  };
  const operationNotFound = async (id: string): Promise<AppError> => {
    const gone = await database.read((tx) => forgottenOf(tx, "operations"));
    const why = gone === undefined ? "" : `; those from before ${gone.until.toISOString()} are not kept`;
    return new AppError("OPERATION_NOT_FOUND", `there is no operation ${JSON.stringify(id)}${why}`, {
      metadata: { operation: id },
      resource: { type: "operation", name: id },
    });
  };
  return {
    insert,
    async update(tx, ids, patch) {
      if (ids.length === 0) return;
      const where = { id: In([...ids]), state: isOpen };
      const ending = patch.finishedAt === undefined ? [] : await repository(tx).findBy(where);
      await updateRows(tx, Operations, where, patch);
      if (patch.finishedAt !== undefined) await runIn(tx, endSteps, [ids, JSON.stringify([unseenEnd])]);
      const ended = ending.map((row) => ({ ...row, ...patch }));
      events.append(
        tx,
        ended.flatMap((row) => (row.deckyId === null ? endEvents(row) : operationEvents(row, []))),
      );
      tx.afterwards(() => ended.forEach(journal.ended));
    },
    async insertEnded(tx, row, steps) {
      await insert(tx, [row]);
      if (steps.length > 0) await insertJson(tx, stepCodec, steps);
      tx.afterwards(() => journal.ended(row));
    },
    add: (row) => database.transaction((tx) => insert(tx, [row])),
    lock: async (tx, id) => (await repository(tx).findOne({ where: { id }, lock: { mode: "for_no_key_update" } })) ?? undefined,
    async openOfDeckies(tx, deckyIds) {
      if (deckyIds.length === 0) return [];
      return repository(tx).find({
        where: { deckyId: In([...deckyIds]), state: isOpen },
        order: { revision: "ASC", createdAt: "ASC" },
      });
    },
    openOfHost: (tx, host, kind) => repository(tx).findBy({ host, kind, state: isOpen }),
    async parentsOf(tx, ids) {
      const rows: { parent: string }[] = await managerOf(tx).query(
        "SELECT DISTINCT parent FROM operations WHERE id = ANY ($1) AND parent IS NOT NULL",
        [ids],
      );
      return rows.map(({ parent }) => parent);
    },
    async openDeckies(host) {
      const rows = await database.run<{ decky_id: string }>(openDeckies, [host]);
      return new Set(rows.map((row) => row.decky_id));
    },
    async findByRequest(actor, requestId, tx) {
      const find = async (within: Tx) => (await repository(within).findOneBy({ actor, requestId })) ?? undefined;
      return tx === undefined ? database.read(find) : find(tx);
    },
    openParts: (id) => database.read((tx) => repository(tx).find({ where: { parent: id, state: isOpen }, select: waitedFor })),
    async countParts(tx, id) {
      const rows: PartCounts[] = await managerOf(tx).query(countParts, [id]);
      return rows[0] ?? { done: 0, failed: 0, open: 0 };
    },
    async get(id) {
      const [row, steps, children] = await database.read((tx) =>
        Promise.all([
          repository(tx).findOneBy({ id }),
          managerOf(tx)
            .getRepository(Steps)
            .find({ where: { operationId: id }, order: { attempt: "ASC", number: "ASC" } }),
          repository(tx).find({ where: { parent: id }, order: { deckyName: "ASC" }, select: { id: true } }),
        ]),
      );
      if (row === null) throw await operationNotFound(id);
      return { row, steps, children: children.map((child) => child.id) };
    },
    waitedFor: (id) =>
      database.read(async (tx) => (await repository(tx).findOne({ where: { id }, select: waitedFor })) ?? undefined),
    async list(request) {
      await refuseForgottenPage(database, "operations", request.page.after);
      return database.read((tx) =>
        listRows(repository(tx).createQueryBuilder("operation"), {
          ...request,
          conditions,
          countBy: "operation.state",
          light: { plan: ifSmall("plan"), receipt: ifSmall("receipt"), error: shortError },
          order: [
            { column: "operation.createdAt", direction: "DESC", value: ({ createdAt }) => createdAt.toISOString() },
            { column: "operation.id", direction: "ASC", value: ({ id }) => id },
          ],
        }),
      );
    },
    async recordProgress(plans, steps, { host, epoch }) {
      if (plans.size > 0)
        await database.run(recordPlans, [JSON.stringify([...plans].map(([id, plan]) => ({ id, plan }))), host, epoch]);
      if (steps.length > 0) await database.run(recordSteps, [JSON.stringify(steps.map(stepCodec.toJson)), host, epoch]);
    },
    async cutOffSteps(of) {
      if ("ids" in of) await database.run(cutOffStepsOf, [of.ids, of.lease.host, of.lease.epoch]);
      else await database.run(cutOffSteps, [of.ownHost]);
    },
    openBatches: () =>
      database.read(async (tx) => {
        const rows = await repository(tx).findBy({ kind: "batch", state: "running" });
        const orphans = rows.filter((row) => row.plan?.batch?.isClosed !== true);
        return Promise.all(orphans.map(async (row) => ({ row, parts: await repository(tx).countBy({ parent: row.id }) })));
      }),
  };
}

const openDeckies = {
  name: "decnet-open-deckies",
  text: `SELECT DISTINCT operation.decky_id FROM operations AS operation JOIN deckies AS decky ON decky.id = operation.decky_id
    WHERE decky.host = $1 AND operation.state IN ('pending', 'running')`,
};

const whileLeased = "EXISTS (SELECT FROM host_leases AS lease WHERE lease.host = $2 AND lease.epoch = $3::int)";

const cutOff = `UPDATE operation_steps SET state = 'failed', finished_at = now(),
      output_tail = '["cut off: the master ended in the middle; how far it got was seen afterwards"]'
    WHERE state = 'running'`;
const cutOffStepsOf = {
  name: "decnet-cut-off-steps-of",
  text: `${cutOff} AND operation_id = ANY ($1::text[]) AND ${whileLeased}`,
};
const cutOffSteps = {
  name: "decnet-cut-off-steps",
  text: `${cutOff}
      AND NOT EXISTS (SELECT FROM operations AS operation JOIN host_leases AS lease ON lease.host = operation.host
        WHERE operation.id = operation_id AND lease.host <> $1::text AND ${isHeld("lease")})`,
};

const endSteps = {
  name: "decnet-end-steps",
  text: `UPDATE operation_steps SET state = 'failed', finished_at = now(), output_tail = $2::jsonb
    WHERE state = 'running' AND operation_id = ANY ($1)`,
};

const recordPlans = {
  name: "decnet-record-plans",
  text: `UPDATE operations SET plan = given.plan FROM json_to_recordset($1) AS given (id text, plan jsonb)
    WHERE operations.id = given.id AND operations.state IN ('pending', 'running') AND ${whileLeased}`,
};

/** Of operations that are open still: what comes behind the end of one would never be ended by anybody. */
const recordSteps = {
  name: "decnet-record-steps",
  text: `WITH given AS MATERIALIZED (SELECT * FROM json_populate_recordset(NULL::operation_steps, $1)
    ), open AS MATERIALIZED (
      SELECT id FROM operations WHERE id IN (SELECT operation_id FROM given) AND state IN ('pending', 'running')
        AND ${whileLeased}
      ORDER BY id FOR NO KEY UPDATE
    )
    INSERT INTO operation_steps (${stepCodec.columns.join(", ")})
      SELECT ${stepCodec.columns.map((column) => `given.${column}`).join(", ")}
      FROM given JOIN open ON open.id = given.operation_id
    ON CONFLICT (operation_id, attempt, number) DO UPDATE
      SET ${stepCodec.columns.map((column) => `${column} = excluded.${column}`).join(", ")}`,
};

/** A list leaves out what is long, and does not read it either: first what is stored of it is measured, then what it is. */
const ifSmall = (column: string): string =>
  `CASE WHEN pg_column_size(operation.${column}) > 8192 OR octet_length(operation.${column}::text) > 32768
     THEN NULL ELSE operation.${column} END`;
const shortError = `CASE WHEN operation.error IS NULL THEN NULL ELSE jsonb_build_object(
    'reason', operation.error -> 'reason', 'message', left(operation.error ->> 'message', 4000),
    'undone', operation.error -> 'undone',
    'next', operation.error -> 'next', 'outputTail', CASE WHEN pg_column_size(operation.error) > 8192 THEN '[]'::jsonb
      ELSE operation.error -> 'outputTail' END) END`;

const countParts = `SELECT count(*) FILTER (WHERE state IN ('succeeded', 'superseded'))::int AS done,
    count(*) FILTER (WHERE state IN ('failed', 'cancelled'))::int AS failed,
    count(*) FILTER (WHERE state IN ('pending', 'running'))::int AS open
  FROM operations WHERE parent = $1`;
