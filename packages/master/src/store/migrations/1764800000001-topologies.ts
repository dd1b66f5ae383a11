import type { MigrationInterface, QueryRunner } from "typeorm";

const states = ["pending", "deploying", "active", "degraded", "failed", "tearing_down", "torn_down"];
const oneOf = states.map((state) => `'${state}'`).join(", ");

const statements = [
  `CREATE TABLE topologies (
     id text NOT NULL CONSTRAINT topologies_pkey PRIMARY KEY,
     name text NOT NULL CONSTRAINT topologies_name UNIQUE,
     host text NOT NULL,
     publish_on text NOT NULL,
     state text NOT NULL CONSTRAINT topologies_state CHECK (state IN (${oneOf})),
     reason text NOT NULL,
     state_changed_at timestamptz NOT NULL,
     version int NOT NULL,
     design jsonb NOT NULL,
     generated_from jsonb,
     created_at timestamptz NOT NULL
   )`,
  `CREATE TABLE topology_events (
     number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT topology_events_pkey PRIMARY KEY,
     topology_id text NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
     from_state text NOT NULL,
     to_state text NOT NULL,
     at timestamptz NOT NULL,
     reason text NOT NULL
   )`,
  "CREATE INDEX topology_events_of ON topology_events (topology_id, number)",
];

/** Nested decoy networks: one design each, and every step of its life. */
export class Topologies1764800000001 implements MigrationInterface {
  readonly name = "Topologies1764800000001";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE topology_events, topologies");
  }
}
