import type { MigrationInterface, QueryRunner } from "typeorm";

/** What is looked up for one host, one decky or one change must not cost more in a larger fleet. */
export class FleetSize1764100000000 implements MigrationInterface {
  readonly name = "FleetSize1764100000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query("CREATE TABLE looks (host text CONSTRAINT looks_pkey PRIMARY KEY, looked_at timestamptz NOT NULL)");
    await runner.query("CREATE INDEX operations_open_parts ON operations (parent) WHERE state IN ('pending', 'running')");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE looks");
    await runner.query("DROP INDEX operations_open_parts");
  }
}
