import type { MigrationInterface, QueryRunner } from "typeorm";

/** Who cancelled an operation, why, and by which request. */
export class Cancellers1764680000000 implements MigrationInterface {
  readonly name = "Cancellers1764680000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE operations ADD COLUMN cancelled_by jsonb");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE operations DROP COLUMN cancelled_by");
  }
}
