import type { MigrationInterface, QueryRunner } from "typeorm";

/** Events are sent on by HTTP: to whom, up to where, what is wrong, and which master does it. */
export class Webhooks1764940000000 implements MigrationInterface {
  readonly name = "Webhooks1764940000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE webhooks (
      id uuid NOT NULL CONSTRAINT webhooks_pkey PRIMARY KEY,
      name text NOT NULL CONSTRAINT webhooks_name UNIQUE,
      url text NOT NULL,
      patterns text[] NOT NULL,
      secret text NOT NULL,
      active boolean NOT NULL,
      message text NOT NULL,
      position bigint NOT NULL,
      generation int NOT NULL DEFAULT 0,
      failures int NOT NULL DEFAULT 0,
      failing_since timestamptz,
      next_attempt_at timestamptz,
      last_delivery_at timestamptz,
      created_at timestamptz NOT NULL,
      created_by text NOT NULL,
      holder text NOT NULL DEFAULT '',
      held_at timestamptz NOT NULL DEFAULT now()
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE webhooks");
  }
}
