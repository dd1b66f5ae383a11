import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * By what the keys of this installation are known again, which version of the program opened the database last, and which master
 * drives a host.
 */
export class Keys1764730000000 implements MigrationInterface {
  readonly name = "Keys1764730000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE installation
      ADD COLUMN secret_key_check text,
      ADD COLUMN authority_hash text,
      ADD COLUMN version text NOT NULL DEFAULT ''`);
    await runner.query(`CREATE TABLE masters (
      host text CONSTRAINT masters_pkey PRIMARY KEY,
      holder text NOT NULL,
      instance uuid NOT NULL,
      place text NOT NULL,
      since timestamptz NOT NULL,
      seen_at timestamptz NOT NULL
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE masters");
    await runner.query("ALTER TABLE installation DROP COLUMN secret_key_check, DROP COLUMN authority_hash, DROP COLUMN version");
  }
}
