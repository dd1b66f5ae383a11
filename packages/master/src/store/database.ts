import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { createBounded } from "@decnet/common/runtime/bounded";
import type { ClientBase } from "pg";
import { DataSource, type EntityManager } from "typeorm";
import { askServer, createAnswers } from "./answers.ts";
import { type CancelBackend, cancelBackend, endWith, withinTime } from "./cancel-transaction.ts";
import { guarded, isStorageUnavailable, saidInFull, sqlStateOf } from "./database-errors.ts";
import { addressOf, type DatabaseAddress, type Hearing, hear } from "./hear.ts";
import { migrateAlone } from "./migrate.ts";
import { migrations } from "./migrations/all.ts";
import { SnakeCaseNames } from "./naming.ts";
import { ping, probe } from "./ping.ts";
import { createSockets } from "./sockets.ts";
import { entities } from "./tables.ts";
import { Transaction, type Tx } from "./transaction.ts";

export type { DatabaseAddress } from "./hear.ts";
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
  /** Hears what other masters say; `onBegin` is told that something may have been missed. Ends with the signal. */
  listen(hearing: Hearing, signal: AbortSignal): Promise<void>;
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

/** How a master uses its database server. */
export interface DatabaseOptions {
  /** What the server calls the connections: tells this run of a master from every other one. */
  readonly application: string;
  /** For transactions; the other kinds of connections come besides. */
  readonly transactions: number;
  /** A statement that takes longer is ended. */
  readonly statementMs: number;
  readonly connectMs: number;
}

export const usualDatabase: DatabaseOptions = {
  application: "decnet-master",
  transactions: 10,
  statementMs: 30_000,
  connectMs: 10_000,
};

const retriable = new Set(["40001", "40P01"]);
const retries = 5;
/**
 * Connections for transactions, which write their events one after another anyway, for those of agents that report, for reads,
 * and for rounds of prepared statements. Each kind waits for its own, outside the pool: thousands of deckies that change at once
 * keep no report and no heartbeat waiting, and a wait for a turn is not taken for a database that is away.
 */
const otherConnections = { agents: 4, reads: 6, statements: 4, cancels: 2 };
const patienceMs = 60_000;
/** What an agent's call may take of the database, however long it waits for its answer. */
const agentsMs = 10_000;
/** So often, whatever else is written, ping() finds out by itself whether there is room. */
const probeEveryMs = 30_000;
const closeMs = 3_000;
/** A server that says nothing to a new connection for so long is away, also when no connection broke. */
const silentMs = 4_000;

/**
 * Connects and brings the schema up to date. Errors: STORAGE_UNAVAILABLE, STORAGE_REFUSED, STORAGE_UNTRUSTED,
 * STORAGE_UNSUITABLE, VERSION_TOO_OLD, and what its disk says.
 */
export async function openDatabase(address: DatabaseAddress, options: Partial<DatabaseOptions> = {}): Promise<Database> {
  const { application, transactions: most, statementMs, connectMs } = { ...usualDatabase, ...options };
  const connections = { ...otherConnections, transactions: most };
  const sockets = createSockets();
  const source = new DataSource({
    type: "postgres",
    ...("url" in address
      ? { url: address.url }
      : { host: address.socketFolder, database: address.database, username: address.user }),
    entities,
    namingStrategy: new SnakeCaseNames(),
    migrations: [...migrations],
    poolSize: Object.values(connections).reduce((sum, count) => sum + count, 0),
    applicationName: application,
    connectTimeoutMS: connectMs,
    poolErrorHandler: () => undefined,
    extra: {
      statement_timeout: statementMs,
      idle_in_transaction_session_timeout: statementMs,
      keepAlive: true,
      stream: () => sockets.add(),
    },
  });
  await saidInFull(() => source.initialize());
  await saidInFull(() => refuseOtherEncoding(source));
  await saidInFull(() => migrateAlone(source)).catch(async (error: unknown) => {
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
  const answers = createAnswers({
    ask: () => askServer(addressOf(address).connection, silentMs),
    onSilent: sockets.destroyAll,
  });
  const guard: Guard["guard"] = async (work) => {
    if (isSevered) throw new AppError("STORAGE_UNAVAILABLE", "the database was given up");
    return guardOnce(async () => {
      if (!answers.isSilent()) return answers.during(work);
      throw new AppError("STORAGE_UNAVAILABLE", "the database does not answer", { retryAfterMs: 1_000 });
    });
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
        const whole = async () => {
          const done = await work(begun);
          await Transaction.finish(begun);
          return done;
        };
        return signal === undefined ? whole() : endWith(signal, manager, cancel, whole);
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
    listen: (hearing, signal) => hear({ ...addressOf(address), application, connectMs, stream: sockets.add }, hearing, signal),
    isClosed: () => isSevered || isClosing,
    async close() {
      isClosing = true;
      answers.stop();
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
