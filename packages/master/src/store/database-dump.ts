import { access, readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { type Program, startProgram } from "@decnet/common/runtime/start-program";
import pg from "pg";
import { saidInFull } from "./database-errors.ts";
import { addressOf, type DatabaseAddress } from "./hear.ts";
import type { Installation } from "./installation.ts";
import { libpqOf } from "./libpq.ts";
import { migrations } from "./migrations/all.ts";

/** One moment of a database, while others go on changing it. */
export interface Snapshot {
  readonly installation: Installation & { readonly version: string };
  /** The steps that its schema has seen. */
  readonly schema: readonly string[];
  /** All that is in it, as pg_dump's archive. */
  dump(): AsyncGenerator<Buffer>;
  close(): Promise<void>;
}

const known: ReadonlySet<string> = new Set(migrations.map((migration) => new migration().name));

/** Steps of a schema that this version does not know. */
export function unknownSteps(schema: readonly string[]): string[] {
  return schema.filter((step) => !known.has(step));
}

/** Errors: those of a storage that cannot be reached; BACKUP_FAILED for a database that no master has made its own. */
export async function openSnapshot(address: DatabaseAddress): Promise<Snapshot> {
  const client = await connect(address);
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const { rows: exported } = await client.query<{ id: string }>("SELECT pg_export_snapshot() AS id");
    const { rows: found } = await client.query<{ there: boolean }>("SELECT to_regclass('installation') IS NOT NULL AS there");
    const { rows } =
      found[0]?.there === true
        ? await client.query<Snapshot["installation"]>(
            `SELECT id, version, secret_key_check AS "secretKeyCheck", authority_hash AS "authorityHash" FROM installation`,
          )
        : { rows: [] };
    const [installation] = rows;
    if (installation === undefined) throw failed("there is no installation in the database: no master was started with it");
    const steps = await client.query<{ name: string }>("SELECT name FROM migrations ORDER BY id");
    return {
      installation,
      schema: steps.rows.map(({ name }) => name),
      dump: () => dump(address, exported[0]?.id ?? ""),
      close: () => client.end().catch(() => undefined),
    };
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

/** Throws TARGET_NOT_EMPTY, and STORAGE_UNSUITABLE for a database that could not hold every name. */
export async function refuseUsedDatabase(address: DatabaseAddress): Promise<void> {
  const client = await connect(address);
  try {
    const { rows: encodings } = await client.query<{ server_encoding: string }>("SHOW server_encoding");
    const encoding = encodings[0]?.server_encoding ?? "";
    if (encoding !== "UTF8") throw new AppError("STORAGE_UNSUITABLE", `the database's encoding is ${encoding}, and not UTF8`);
    // What extensions brought along is the server's affair.
    const { rows } = await client.query<{ name: string }>(`SELECT relname AS name
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
      ORDER BY 1 LIMIT 1`);
    const [first] = rows;
    if (first !== undefined)
      throw new AppError("TARGET_NOT_EMPTY", `the database is not empty: it has ${JSON.stringify(first.name)}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** All of it, or nothing. Errors: BACKUP_FAILED, and what the source throws. */
export async function restoreDump(address: DatabaseAddress, source: AsyncIterable<Buffer>): Promise<void> {
  const { args, env, dispose } = await libpqOf(address);
  try {
    await runRestore([...args, "--single-transaction", "--exit-on-error", ...plain], env, source);
  } finally {
    await dispose();
  }
}

async function runRestore(args: readonly string[], env: Record<string, string>, source: AsyncIterable<Buffer>): Promise<void> {
  const program = await start("pg_restore", args, env, true);
  const said = tailOf(program);
  let broken: unknown;
  program.stdout.resume();
  if (program.stdin === undefined) throw new Error("pg_restore takes no input");
  try {
    await pipeline(source, program.stdin);
  } catch (error) {
    broken = error;
    // Its end of the pipe is what it says about itself; anything else ends it, and with it the transaction.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") program.kill("SIGKILL");
  }
  const exitCode = await program.closed;
  if (broken instanceof AppError) throw broken;
  if (exitCode !== 0 || broken !== undefined) throw failed(`pg_restore failed: ${said() || String(broken)}`);
}

/** The private server that a master runs now; undefined when there is none. */
export async function findRunningPostgres(dataDir: string): Promise<DatabaseAddress | undefined> {
  const lines = (await readFile(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  const socketFolder = lines[4] ?? "";
  return socketFolder === "" ? undefined : { socketFolder, database: "postgres", user: "decnet" };
}

/** Owners and rights are those of whoever restores. */
const plain = ["--no-owner", "--no-privileges"];

async function* dump(address: DatabaseAddress, snapshot: string): AsyncGenerator<Buffer> {
  const { args, env, dispose } = await libpqOf(address);
  try {
    const options = ["--format=custom", "--lock-wait-timeout=60s", `--snapshot=${snapshot}`, ...plain];
    const program = await start("pg_dump", [...args, ...options], env);
    const said = tailOf(program);
    let isOver = false;
    try {
      for await (const chunk of program.stdout) yield chunk as Buffer;
      isOver = true;
    } finally {
      if (!isOver) program.kill("SIGKILL");
    }
    if ((await program.closed) !== 0) throw failed(`pg_dump failed: ${said()}`);
  } finally {
    await dispose();
  }
}

async function connect(address: DatabaseAddress): Promise<pg.Client> {
  return saidInFull(async () => {
    const client = new pg.Client({
      ...addressOf(address).connection,
      application_name: "decnet-backup",
      connectionTimeoutMillis: 10_000,
      options: "-c idle_in_transaction_session_timeout=0",
    });
    // It is told by the next statement.
    client.on("error", () => undefined);
    await client.connect();
    return client;
  });
}

async function start(name: string, args: readonly string[], more: Record<string, string>, takesInput = false): Promise<Program> {
  const env = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: homedir(), LC_ALL: "C", ...more };
  try {
    return await startProgram(await findProgram(name), ["-w", ...args], { cwd: "/", env, takesInput });
  } catch (cause) {
    throw failed(`${name} cannot be started; install the package postgresql-client`, cause);
  }
}

/** The newest that is installed: it knows servers of its own version and of earlier ones. */
async function findProgram(name: string): Promise<string> {
  const versions = (await readdir("/usr/lib/postgresql").catch(() => [])).sort((one, other) => Number(other) - Number(one));
  for (const version of versions) {
    const path = join("/usr/lib/postgresql", version, "bin", name);
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return name;
}

const mostSaid = 2_000;

function tailOf({ stderr }: Program): () => string {
  let said = "";
  stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-mostSaid);
  });
  return () => said.trim().replaceAll(/\s*\n\s*/g, "; ");
}

function failed(message: string, cause?: unknown): AppError {
  return new AppError("BACKUP_FAILED", message, cause === undefined ? {} : { cause });
}
