import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  // A decision is stored only if the decky is still what it was made from.
  "ALTER TABLE deckies ADD COLUMN version int NOT NULL DEFAULT 1",
  "ALTER TABLE deckies ALTER COLUMN version DROP DEFAULT",
  "ALTER TABLE deckies RENAME COLUMN hold TO repair_paused",
  "ALTER TABLE deckies RENAME COLUMN leaving_hosts TO pending_removals",
  "ALTER INDEX deckies_leaving RENAME TO deckies_pending_removals",
  "ALTER TABLE hosts RENAME COLUMN facts TO agent_info",
  "ALTER TABLE looks RENAME TO drift_checks",
  "ALTER TABLE drift_checks RENAME COLUMN looked_at TO checked_at",
  "ALTER TABLE drift_checks RENAME CONSTRAINT looks_pkey TO drift_checks_pkey",
  // Parents that are still to be ended are looked for among open operations.
  "CREATE INDEX operations_open_parents ON operations (id) WHERE decky_id IS NULL AND state IN ('pending', 'running')",
];

const back = [
  "DROP INDEX operations_open_parents",
  "ALTER TABLE drift_checks RENAME CONSTRAINT drift_checks_pkey TO looks_pkey",
  "ALTER TABLE drift_checks RENAME COLUMN checked_at TO looked_at",
  "ALTER TABLE drift_checks RENAME TO looks",
  "ALTER TABLE hosts RENAME COLUMN agent_info TO facts",
  "ALTER INDEX deckies_pending_removals RENAME TO deckies_leaving",
  "ALTER TABLE deckies RENAME COLUMN pending_removals TO leaving_hosts",
  "ALTER TABLE deckies RENAME COLUMN repair_paused TO hold",
  "ALTER TABLE deckies DROP COLUMN version",
];

/** Guarded decisions, and one word per concept. */
export class Versions1764500000000 implements MigrationInterface {
  readonly name = "Versions1764500000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of back) await runner.query(statement);
  }
}
