import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  // As what it was last seen running: a redeploy that fails goes back to it.
  "ALTER TABLE deckies ADD COLUMN applied_identity jsonb",
  `UPDATE deckies SET applied_identity = jsonb_build_object('identity', identity, 'ip', ip)
     WHERE applied_revision > 0 AND applied_revision = desired_revision`,
  // Why the last try failed.
  "ALTER TABLE deckies ADD COLUMN retry_cause text NOT NULL DEFAULT ''",
  "ALTER TABLE deckies ALTER COLUMN retry_cause DROP DEFAULT",
  // Failures that nobody asked to keep were held like those that are kept.
  `UPDATE deckies SET repair_paused = false
     WHERE repair_paused AND EXISTS (
       SELECT FROM operations WHERE operations.id = deckies.last_operation AND operations.kind = 'repair')`,
];

/** Every state has an exit: what is tried again says why, and a redeploy can be taken back. */
export class Exits1764630000000 implements MigrationInterface {
  readonly name = "Exits1764630000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE deckies DROP COLUMN applied_identity, DROP COLUMN retry_cause");
  }
}
