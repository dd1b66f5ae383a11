import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Certificates of workers count by their number, so that a database from before a renewal accepts what was renewed; and of each
 * decky it is kept when its host has a later revision than the newest that is known here.
 */
export class Restored1764730000001 implements MigrationInterface {
  readonly name = "Restored1764730000001";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE hosts
      ADD COLUMN certificate_serial text NOT NULL DEFAULT '',
      ADD COLUMN certificate_number int NOT NULL DEFAULT 0,
      ADD COLUMN accepted_number int NOT NULL DEFAULT 0`);
    await runner.query("UPDATE hosts SET certificate_serial = coalesce(certificate_serials ->> 0, '')");
    await runner.query("ALTER TABLE hosts DROP COLUMN certificate_serials");
    await runner.query("ALTER TABLE deckies ADD COLUMN ahead_revision int NOT NULL DEFAULT 0");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE deckies DROP COLUMN ahead_revision");
    await runner.query("ALTER TABLE hosts ADD COLUMN certificate_serials jsonb NOT NULL DEFAULT '[]'");
    await runner.query("UPDATE hosts SET certificate_serials = jsonb_build_array(certificate_serial)");
    await runner.query(
      "ALTER TABLE hosts DROP COLUMN certificate_serial, DROP COLUMN certificate_number, DROP COLUMN accepted_number",
    );
  }
}
