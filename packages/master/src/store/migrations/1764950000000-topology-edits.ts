import type { MigrationInterface, QueryRunner } from "typeorm";

/** What a live edit of a topology made of its design, until the edit has ended: it may have to be taken back. */
export class TopologyEdits1764950000000 implements MigrationInterface {
  readonly name = "TopologyEdits1764950000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE topology_edits (
      operation_id text CONSTRAINT topology_edits_pkey PRIMARY KEY REFERENCES operations (id) ON DELETE CASCADE,
      trace jsonb NOT NULL
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE topology_edits");
  }
}
