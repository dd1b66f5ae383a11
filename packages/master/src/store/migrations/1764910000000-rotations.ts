import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  `CREATE TABLE rotations (
     decky_id uuid NOT NULL CONSTRAINT rotations_pkey PRIMARY KEY REFERENCES deckies (id) ON DELETE CASCADE,
     every_seconds int NOT NULL CONSTRAINT rotations_every CHECK (every_seconds > 0),
     services text[] NOT NULL,
     start_digest text NOT NULL,
     next_at timestamptz NOT NULL,
     last_at timestamptz,
     failures int NOT NULL DEFAULT 0,
     message text NOT NULL DEFAULT '',
     operation_id text,
     seen_revision int NOT NULL,
     pinned text[] NOT NULL DEFAULT '{}',
     barred text[] NOT NULL DEFAULT '{}'
   )`,
  "CREATE INDEX rotations_next ON rotations (next_at)",
];

/** Deckies whose services change by themselves: how often, among which, and when the next time is. */
export class Rotations1764910000000 implements MigrationInterface {
  readonly name = "Rotations1764910000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE rotations");
  }
}
