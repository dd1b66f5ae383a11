import { AppError } from "@decnet/common/errors/app-error";
import { version } from "@decnet/common/version";
import { type DataSource, MigrationExecutor, type QueryRunner } from "typeorm";

const migrationLock = 7_233_001;

/** A step over large tables takes its time, and so does the master that waits for its turn. */
const unlimited = ["statement_timeout", "idle_in_transaction_session_timeout"];

/**
 * Brings the schema up to date. Masters that start together take turns. A schema from a later version of the program is
 * refused as it is: VERSION_TOO_OLD.
 */
export async function migrateAlone(source: DataSource): Promise<void> {
  const runner = source.createQueryRunner();
  const executor = new MigrationExecutor(source, runner);
  executor.transaction = "each";
  try {
    for (const setting of unlimited) await runner.query(`SET ${setting} = 0`);
    await runner.query("SELECT pg_advisory_lock($1)", [migrationLock]);
    try {
      await refuseLaterSchema(source, runner);
      await executor.executePendingMigrations();
    } finally {
      await runner.query("SELECT pg_advisory_unlock($1)", [migrationLock]);
      for (const setting of unlimited) await runner.query(`RESET ${setting}`);
    }
  } finally {
    await runner.release();
  }
}

async function refuseLaterSchema(source: DataSource, runner: QueryRunner): Promise<void> {
  const [row] = (await runner.query("SELECT to_regclass('migrations') IS NOT NULL AS is_there")) as { is_there: boolean }[];
  if (row?.is_there !== true) return;
  const known = source.migrations.map((migration) => migration.name ?? "");
  const later = (await runner.query("SELECT name FROM migrations WHERE NOT (name = ANY ($1)) ORDER BY id DESC LIMIT 1", [
    known,
  ])) as { name: string }[];
  const [unknown] = later;
  if (unknown === undefined) return;
  const needed = await versionOfSchema(runner);
  const message =
    `the database has the schema of a later version, ${needed || "which it does not name"} (${unknown.name}); ` +
    `this is ${version}, and knows ${known.at(-1) ?? "none"} at most`;
  throw new AppError("VERSION_TOO_OLD", message, { metadata: needed === "" ? {} : { version: needed } });
}

/** Of the program that opened the database last. Its place, too, may be another one by then. */
async function versionOfSchema(runner: QueryRunner): Promise<string> {
  const found = (await runner.query("SELECT version FROM installation").catch(() => [])) as { version?: unknown }[];
  return String(found[0]?.version ?? "");
}
