import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  `CREATE TABLE hosts (
     id uuid CONSTRAINT hosts_pkey PRIMARY KEY,
     name text NOT NULL CONSTRAINT hosts_name CHECK (name <> 'local'),
     labels jsonb NOT NULL,
     draining boolean NOT NULL,
     facts jsonb,
     address text NOT NULL,
     message text NOT NULL,
     engine_problem text NOT NULL,
     certificate_serials jsonb NOT NULL,
     certificate_expires_at timestamptz NOT NULL,
     report_stream text NOT NULL,
     report_sequence bigint NOT NULL,
     enrolled_at timestamptz NOT NULL,
     last_seen timestamptz,
     decommissioned_at timestamptz
   )`,
  "CREATE UNIQUE INDEX hosts_active_name ON hosts (name) WHERE decommissioned_at IS NULL",
  `CREATE TABLE join_tokens (
     id text CONSTRAINT join_tokens_pkey PRIMARY KEY,
     host_name text NOT NULL,
     secret_hash text NOT NULL,
     labels jsonb NOT NULL,
     created_at timestamptz NOT NULL,
     created_by text NOT NULL,
     expires_at timestamptz NOT NULL,
     used_at timestamptz,
     used_key text,
     revoked_at timestamptz,
     host_id uuid
   )`,
  `CREATE TABLE refused_joins (
     id uuid CONSTRAINT refused_joins_pkey PRIMARY KEY,
     at timestamptz NOT NULL,
     token_id text NOT NULL,
     host_name text NOT NULL,
     machine_name text NOT NULL,
     address text NOT NULL,
     reason text NOT NULL,
     message text NOT NULL
   )`,
  "CREATE INDEX refused_joins_recent ON refused_joins (at DESC)",
  // The last revision that its host was given and applied: staged settings raise applied_revision alone.
  "ALTER TABLE deckies ADD COLUMN rendered_revision int NOT NULL DEFAULT 0",
  "ALTER TABLE deckies ALTER COLUMN rendered_revision DROP DEFAULT",
  // Where it still has to be removed after a move.
  "ALTER TABLE deckies ADD COLUMN previous_host text",
  "CREATE INDEX deckies_host ON deckies (host)",
  `ALTER TABLE fleet ADD COLUMN move_policy text NOT NULL DEFAULT 'remove_first'
     CONSTRAINT fleet_move_policy CHECK (move_policy IN ('remove_first', 'keep_old'))`,
  "ALTER TABLE fleet ALTER COLUMN move_policy DROP DEFAULT",
  `ALTER TABLE operations ADD COLUMN when_away text NOT NULL DEFAULT 'queue'
     CONSTRAINT operations_when_away CHECK (when_away IN ('queue', 'refuse'))`,
  "ALTER TABLE operations ALTER COLUMN when_away DROP DEFAULT",
];

export class Swarm1764200000000 implements MigrationInterface {
  readonly name = "Swarm1764200000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE operations DROP COLUMN when_away");
    await runner.query("ALTER TABLE fleet DROP COLUMN move_policy");
    await runner.query("ALTER TABLE deckies DROP COLUMN rendered_revision, DROP COLUMN previous_host");
    await runner.query("DROP INDEX deckies_host");
    await runner.query("DROP TABLE refused_joins, join_tokens, hosts");
  }
}
