import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  // What the same caller did again and again is one row.
  "ALTER TABLE audit ADD COLUMN times int NOT NULL DEFAULT 1",
  "ALTER TABLE audit ALTER COLUMN times DROP DEFAULT",
  "ALTER TABLE refused_joins ADD COLUMN times int NOT NULL DEFAULT 1",
  "ALTER TABLE refused_joins ALTER COLUMN times DROP DEFAULT",
  // Up to where rows of a table were removed: what was there before is not known any more.
  `CREATE TABLE forgotten (
     subject text CONSTRAINT forgotten_pkey PRIMARY KEY,
     position bigint NOT NULL,
     until timestamptz NOT NULL
   )`,
];

/** Rows that came once are not kept for ever. */
export class Retention1764710000000 implements MigrationInterface {
  readonly name = "Retention1764710000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE forgotten");
    await runner.query("ALTER TABLE refused_joins DROP COLUMN times");
    await runner.query("ALTER TABLE audit DROP COLUMN times");
  }
}
