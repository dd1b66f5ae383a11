import { AppError } from "@decnet/common/errors/app-error";
import { createBounded } from "@decnet/common/runtime/bounded";
import type { ClientBase } from "pg";
import { DataSource, type EntityManager } from "typeorm";
import { Initial1764000000000 } from "./migrations/1764000000000-initial.ts";
import { FleetSize1764100000000 } from "./migrations/1764100000000-fleet-size.ts";
import { Swarm1764200000000 } from "./migrations/1764200000000-swarm.ts";
import { Moves1764350000000 } from "./migrations/1764350000000-moves.ts";
import { Versions1764500000000 } from "./migrations/1764500000000-versions.ts";
import { Receipts1764600000000 } from "./migrations/1764600000000-receipts.ts";
import { Exits1764630000000 } from "./migrations/1764630000000-exits.ts";
import { SnakeCaseNames } from "./naming.ts";
import { entities } from "./tables.ts";
import { Transaction, type Tx } from "./transaction.ts";

export type { Tx } from "./transaction.ts";

/** For whom a transaction waits. */
export interface Turn {
  /** Agents have places of their own. */
  readonly of: "agents";
  /** A call that nobody waits for any more gives its turn up. */
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
  /**
   * Called whenever the database is there again after it was away. What was sent when it went may have been stored without an
   * answer.
   */
  onReturn(listener: () => void): void;
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

const migrationLock = 7_233_001;
const retriable = new Set(["40001", "40P01"]);
const retries = 5;
/**
 * Connections for transactions, which write their events one after another anyway, for those of agents that report, for reads,
 * and for rounds of prepared statements. Each kind waits for its own, outside the pool: thousands of deckies that change at once
 * keep no report and no heartbeat waiting, and a wait for a turn is not taken for a database that is away.
 */
const connections = { transactions: 10, agents: 4, reads: 6, statements: 4 };
const patienceMs = 60_000;

/** Connects and brings the schema up to date. Throws STORAGE_UNAVAILABLE when the database does not answer. */
export async function openDatabase(address: DatabaseAddress): Promise<Database> {
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
    ],
    poolSize: Object.values(connections).reduce((sum, count) => sum + count, 0),
    applicationName: "decnet-master",
    connectTimeoutMS: 10_000,
    poolErrorHandler: () => undefined,
    extra: { statement_timeout: 30_000, idle_in_transaction_session_timeout: 30_000, keepAlive: true },
  });
  await guarded(() => source.initialize());
  await guarded(() => migrateAlone(source));
  const late = () => new AppError("STORAGE_UNAVAILABLE", "the database is too busy", { retryAfterMs: 1_000 });
  const transactions = createBounded(connections.transactions, patienceMs, late);
  const agents = createBounded(connections.agents, patienceMs, late);
  const reads = createBounded(connections.reads, patienceMs, late);
  const statements = createBounded(connections.statements, patienceMs, late);
  const listeners = new Set<() => void>();
  const guard = createGuard(() => {
    for (const listener of listeners) listener();
  });
  const retried = <T>(work: () => Promise<T>) => retry(() => guard(work));
  const transact = <T>(work: (tx: Tx) => Promise<T>) =>
    retried(() => source.transaction((manager: EntityManager) => work(new Transaction(manager))));
  const alone = new Transaction(source.manager);
  return {
    transaction: (work, turn) =>
      turn === undefined ? transactions(() => transact(work)) : agents(() => transact(work), turn.signal),
    read: (work) => reads(() => guard(() => work(alone))),
    write: (work) => reads(() => retried(() => work(alone))),
    run: (statement, values) => statements(() => retried(() => runAlone(source, statement, values))),
    onReturn: (listener) => void listeners.add(listener),
    close: () => source.destroy(),
  };
}

/** Like guarded(), and notices when the database is there again. */
function createGuard(onReturn: () => void): <T>(work: () => Promise<T>) => Promise<T> {
  let wasAway = false;
  return async (work) => {
    try {
      const result = await guarded(work);
      if (wasAway) {
        wasAway = false;
        onReturn();
      }
      return result;
    } catch (error) {
      if (isStorageUnavailable(error)) wasAway = true;
      throw error;
    }
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

/** Two masters that start together take turns. */
async function migrateAlone(source: DataSource): Promise<void> {
  const runner = source.createQueryRunner();
  try {
    await runner.query("SELECT pg_advisory_lock($1)", [migrationLock]);
    await source.runMigrations({ transaction: "each" });
    await runner.query("SELECT pg_advisory_unlock($1)", [migrationLock]);
  } finally {
    await runner.release();
  }
}

/** An error of the database itself is passed on; one that says that it is away becomes STORAGE_UNAVAILABLE. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAway(error))
      throw new AppError("STORAGE_UNAVAILABLE", "the database does not answer", { cause: error, retryAfterMs: 1_000 });
    throw error;
  }
}

/** What the driver says, without a code, of a connection that is gone; and TypeORM, when it broke within a transaction. */
const connectionTroubles = [
  "Connection terminated",
  "timeout exceeded when trying to connect",
  "Client has encountered a connection error",
  "not queryable",
  "Query runner already released",
];

function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const state = sqlStateOf(error);
  // Classes 08 (connection) and 57P (shut down, starting up), and the codes of the socket itself.
  if (state !== undefined) return /^(08|57P|53300|ECONN|ENOENT|EPIPE|ETIMEDOUT)/.test(state);
  return connectionTroubles.some((trouble) => error.message.includes(trouble));
}

export function isStorageUnavailable(error: unknown): boolean {
  return error instanceof AppError && error.reason === "STORAGE_UNAVAILABLE";
}

function sqlStateOf(error: unknown): string | undefined {
  return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** The constraint that a write violated, or undefined for any other error. */
export function violatedConstraint(error: unknown): string | undefined {
  if (sqlStateOf(error) !== "23505") return undefined;
  return typeof error === "object" && error !== null && "constraint" in error ? String(error.constraint) : undefined;
}
