import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { createBounded } from "@decnet/common/runtime/bounded";
import type { ClientBase } from "pg";
import { DataSource, type EntityManager } from "typeorm";
import { type CancelBackend, cancelBackend, endWith, withinTime } from "./cancel-transaction.ts";
import { guarded, isStorageUnavailable, sqlStateOf } from "./database-errors.ts";
import { migrateAlone } from "./migrate.ts";
import { Initial1764000000000 } from "./migrations/1764000000000-initial.ts";
import { FleetSize1764100000000 } from "./migrations/1764100000000-fleet-size.ts";
import { Swarm1764200000000 } from "./migrations/1764200000000-swarm.ts";
import { Moves1764350000000 } from "./migrations/1764350000000-moves.ts";
import { Versions1764500000000 } from "./migrations/1764500000000-versions.ts";
import { Receipts1764600000000 } from "./migrations/1764600000000-receipts.ts";
import { Exits1764630000000 } from "./migrations/1764630000000-exits.ts";
import { Cancellers1764680000000 } from "./migrations/1764680000000-cancellers.ts";
import { Retention1764710000000 } from "./migrations/1764710000000-retention.ts";
import { Keys1764730000000 } from "./migrations/1764730000000-keys.ts";
import { Restored1764730000001 } from "./migrations/1764730000001-restored.ts";
import { Attachments1764800000000 } from "./migrations/1764800000000-attachments.ts";
import { Topologies1764800000001 } from "./migrations/1764800000001-topologies.ts";
import { Rotations1764910000000 } from "./migrations/1764910000000-rotations.ts";
import { Scopes1764910000001 } from "./migrations/1764910000001-scopes.ts";
import { Webhooks1764940000000 } from "./migrations/1764940000000-webhooks.ts";
import { SnakeCaseNames } from "./naming.ts";
import { createSockets } from "./sockets.ts";
import { entities } from "./tables.ts";
import { Transaction, type Tx } from "./transaction.ts";

export type { Tx } from "./transaction.ts";

/** For whom a transaction waits. */
export interface Turn {
  /** Agents have places of their own. */
  readonly of: "agents";
  /** A call that nobody waits for any more gives its turn up, also in the middle: its statement is cancelled, and all undone. */
  readonly signal: AbortSignal;
}

export interface Database {
  /** Runs work in one transaction. Retried when the database asks for it; no I/O but the database's belongs inside. */
  transaction<T>(work: (tx: Tx) => Promise<T>, turn?: Turn): Promise<T>;
  /** Reads that need no common snapshot. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** One statement that writes. Retried like a transaction. */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** One prepared statement in one round trip: the shortest way there and back. */
  run<Row extends object>(statement: Statement, values: readonly unknown[]): Promise<Row[]>;
  /** Throws what is wrong with the storage: it is away, or takes no writes. */
  ping(): Promise<void>;
  /**
   * Called whenever the database is there again after it was away. What was sent when it went may have been stored without an
   * answer.
   */
  onReturn(listener: () => void): void;
  /** Breaks every connection off, and makes no more: whoever waits for the database is told that it is away. */
  sever(): void;
  /** Whether it was closed, or severed. */
  isClosed(): boolean;
  /** Ends after a while also when the database does not answer. */
  close(): Promise<void>;
}

/** A statement that is prepared once on each connection, under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export type DatabaseAddress =
  | { readonly url: string }
  | { readonly socketFolder: string; readonly database: string; readonly user: string };

const retriable = new Set(["40001", "40P01"]);
const retries = 5;
/**
 * Connections for transactions, which write their events one after another anyway, for those of agents that report, for reads,
 * and for rounds of prepared statements. Each kind waits for its own, outside the pool: thousands of deckies that change at once
 * keep no report and no heartbeat waiting, and a wait for a turn is not taken for a database that is away.
 */
const connections = { transactions: 10, agents: 4, reads: 6, statements: 4, cancels: 2 };
const patienceMs = 60_000;
/** What an agent's call may take of the database, however long it waits for its answer. */
const agentsMs = 10_000;
/** So often, whatever else is written, ping() finds out by itself whether there is room. */
const probeEveryMs = 30_000;
const closeMs = 3_000;

/**
 * Connects and brings the schema up to date. Errors: STORAGE_UNAVAILABLE, STORAGE_UNSUITABLE, VERSION_TOO_OLD, and what its
 * disk says.
 */
export async function openDatabase(address: DatabaseAddress): Promise<Database> {
  const sockets = createSockets();
  const source = new DataSource({
    type: "postgres",
    ...("url" in address
      ? { url: address.url }
      : { host: address.socketFolder, database: address.database, username: address.user }),
    entities,
    namingStrategy: new SnakeCaseNames(),
    migrations: [
      Initial1764000000000,
      FleetSize1764100000000,
      Swarm1764200000000,
      Moves1764350000000,
      Versions1764500000000,
      Receipts1764600000000,
      Exits1764630000000,
      Cancellers1764680000000,
      Retention1764710000000,
      Keys1764730000000,
      Restored1764730000001,
      Attachments1764800000000,
      Topologies1764800000001,
      Rotations1764910000000,
      Scopes1764910000001,
      Webhooks1764940000000,
    ],
    poolSize: Object.values(connections).reduce((sum, count) => sum + count, 0),
    applicationName: "decnet-master",
    connectTimeoutMS: 10_000,
    poolErrorHandler: () => undefined,
    extra: {
      statement_timeout: 30_000,
      idle_in_transaction_session_timeout: 30_000,
      keepAlive: true,
      stream: () => sockets.add(),
    },
  });
  await guarded(() => source.initialize());
  await guarded(() => refuseOtherEncoding(source));
  await guarded(() => migrateAlone(source)).catch(async (error: unknown) => {
    await source.destroy();
    throw error;
  });
  const late = () => new AppError("STORAGE_UNAVAILABLE", "the database is too busy", { retryAfterMs: 1_000 });
  const transactions = createBounded(connections.transactions, patienceMs, late);
  const agents = createBounded(connections.agents, patienceMs, late);
  const reads = createBounded(connections.reads, patienceMs, late);
  const statements = createBounded(connections.statements, patienceMs, late);
  const listeners = new Set<() => void>();
  let isSevered = false;
  let isClosing = false;
  const {
    guard: guardOnce,
    wrote,
    isFull,
  } = createGuard(() => {
    for (const listener of listeners) listener();
  });
  const guard: Guard["guard"] = async (work) => {
    if (isSevered) throw new AppError("STORAGE_UNAVAILABLE", "the database was given up");
    return guardOnce(work);
  };
  const sever = () => {
    isSevered = true;
    sockets.destroyAll();
  };
  const retried = <T>(work: () => Promise<T>) => retry(() => guard(work));
  const cancels = createBounded(connections.cancels, patienceMs, late);
  const cancel: CancelBackend = (pid) => cancels(() => guard(() => runAlone(source, cancelBackend, [pid])));
  const transact = <T>(work: (tx: Tx) => Promise<T>, signal?: AbortSignal) =>
    retried(async () => {
      let tx: Transaction | undefined;
      const result = await source.transaction((manager: EntityManager) => {
        tx = new Transaction(manager, { signal });
        const begun = tx;
        return signal === undefined ? work(begun) : endWith(signal, manager, cancel, () => work(begun));
      });
      wrote();
      if (tx !== undefined) Transaction.committed(tx);
      return result;
    });
  const alone = new Transaction(source.manager, { isAlone: true });
  let probedAt = performance.now();
  return {
    transaction: (work, turn) =>
      turn === undefined
        ? transactions(() => transact(work))
        : agents(() => withinTime(agentsMs, turn.signal, (signal) => transact(work, signal)), turn.signal),
    read: (work) => reads(() => guard(() => work(alone))),
    write: (work) => reads(() => retried(() => work(alone))),
    run: (statement, values) => statements(() => retried(() => runAlone(source, statement, values))),
    async ping() {
      const [state] = await statements(() => guard(() => runAlone<{ is_read_only: boolean }>(source, ping, [])));
      if (state?.is_read_only === true)
        throw new AppError("STORAGE_READ_ONLY", "the database takes no writes: it is read-only", { retryAfterMs: 1_000 });
      // Whether there is room, only a write can tell.
      if (!isFull() && performance.now() - probedAt < probeEveryMs) return;
      await transactions(() => transact((tx) => runIn(tx, probe, [])));
      probedAt = performance.now();
    },
    onReturn: (listener) => void listeners.add(listener),
    sever,
    isClosed: () => isSevered || isClosing,
    async close() {
      isClosing = true;
      const waiting = new AbortController();
      const late = delay(closeMs, undefined, { signal: waiting.signal }).then(sever, () => undefined);
      await source.destroy().finally(() => waiting.abort());
      await late;
    },
  };
}

interface Guard {
  /** Like guarded(), and notices when the database is there again. */
  guard<T>(work: () => Promise<T>): Promise<T>;
  /** Something was stored. */
  wrote(): void;
  /** Whether the last write that was tried found no room. */
  isFull(): boolean;
}

function createGuard(onReturn: () => void): Guard {
  let wasAway = false;
  let isFull = false;
  return {
    async guard(work) {
      try {
        const result = await guarded(work);
        if (wasAway) {
          wasAway = false;
          onReturn();
        }
        return result;
      } catch (error) {
        if (isStorageUnavailable(error)) wasAway = true;
        if (error instanceof AppError && error.reason === "STORAGE_FULL") isFull = true;
        throw error;
      }
    },
    wrote() {
      isFull = false;
    },
    isFull: () => isFull,
  };
}

const ping = {
  name: "decnet-ping",
  text: "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_read_only",
};
/** Needs new room, unlike a row that fits into a page that is there, and leaves nothing. */
const probe = {
  name: "decnet-probe",
  text: `CREATE TEMPORARY TABLE decnet_probe ON COMMIT DROP AS
    SELECT string_agg(md5(number::text), '') AS filler FROM generate_series(1, 4000) AS each (number)`,
};

async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= retries || !retriable.has(sqlStateOf(error) ?? "")) throw error;
    }
  }
}

async function runAlone<Row extends object>(
  source: DataSource,
  statement: Statement,
  values: readonly unknown[],
): Promise<Row[]> {
  const runner = source.createQueryRunner();
  try {
    return await runOn(await runner.connect(), statement, values);
  } finally {
    await runner.release();
  }
}

/** A prepared statement inside a transaction. */
export async function runIn<Row extends object>(tx: Tx, statement: Statement, values: readonly unknown[]): Promise<Row[]> {
  const runner = Transaction.managerOf(tx).queryRunner;
  if (runner === undefined) throw new Error("this is no transaction");
  return runOn(await runner.connect(), statement, values);
}

async function runOn<Row extends object>(
  client: ClientBase,
  { name, text }: Statement,
  values: readonly unknown[],
): Promise<Row[]> {
  const { rows } = await client.query<Row>({ name, text, values: [...values] });
  return rows;
}

/** Names, settings and messages are Unicode; a database that cannot hold them would refuse changes one by one. */
async function refuseOtherEncoding(source: DataSource): Promise<void> {
  const [row] = await source.query<{ server_encoding: string }[]>("SHOW server_encoding");
  const encoding = row?.server_encoding ?? "";
  if (encoding === "UTF8") return;
  await source.destroy();
  throw new AppError("STORAGE_UNSUITABLE", `the database's encoding is ${encoding}; the master needs UTF8`);
}
