import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  // Up to where the outbox was sent on, who sends it now, and what keeps it from being sent.
  `CREATE TABLE relays (
     sink text CONSTRAINT relays_pkey PRIMARY KEY,
     position bigint NOT NULL,
     holder text NOT NULL,
     instance text NOT NULL,
     place text NOT NULL,
     seen_at timestamptz NOT NULL,
     sent_at timestamptz,
     dropped bigint NOT NULL,
     dropped_at timestamptz,
     trouble jsonb
   )`,
  // Of what an event carries: what waits when a master of a later version starts keeps the version that it was made with.
  "ALTER TABLE outbox ADD COLUMN version int NOT NULL DEFAULT 1",
];

/** Events are sent on to a bus. */
export class Relays1764920000000 implements MigrationInterface {
  readonly name = "Relays1764920000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE outbox DROP COLUMN version");
    await runner.query("DROP TABLE relays");
  }
}
