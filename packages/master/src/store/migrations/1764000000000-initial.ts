import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  `CREATE TABLE installation (
     id uuid CONSTRAINT installation_pkey PRIMARY KEY,
     created_at timestamptz NOT NULL
   )`,
  // One installation per database, the first one that comes.
  "CREATE UNIQUE INDEX installation_single ON installation ((true))",
  `CREATE TABLE fleet (
     id smallint CONSTRAINT fleet_pkey PRIMARY KEY CONSTRAINT fleet_single CHECK (id = 1),
     lan jsonb NOT NULL,
     drift_policy text NOT NULL CONSTRAINT fleet_drift_policy CHECK (drift_policy IN ('repair', 'report')),
     updated_at timestamptz NOT NULL
   )`,
  `CREATE TABLE deckies (
     id uuid CONSTRAINT deckies_pkey PRIMARY KEY,
     scope text NOT NULL CONSTRAINT deckies_scope CHECK (scope <> ''),
     name text NOT NULL,
     host text NOT NULL,
     lan jsonb NOT NULL,
     lan_name text NOT NULL,
     ip text NOT NULL,
     mac text NOT NULL,
     identity jsonb NOT NULL,
     desired_revision int NOT NULL,
     applied_revision int NOT NULL CONSTRAINT deckies_applied CHECK (applied_revision <= desired_revision),
     leaving boolean NOT NULL,
     hold boolean NOT NULL,
     state text NOT NULL CONSTRAINT deckies_state
       CHECK (state IN ('pending', 'changing', 'running', 'degraded', 'detached', 'failed', 'unknown')),
     message text NOT NULL,
     observed jsonb,
     observed_at timestamptz,
     last_operation text,
     failures int NOT NULL,
     retry_at timestamptz,
     created_at timestamptz NOT NULL,
     CONSTRAINT deckies_name UNIQUE (scope, name),
     CONSTRAINT deckies_ip UNIQUE (scope, lan_name, ip),
     CONSTRAINT deckies_mac UNIQUE (scope, lan_name, mac)
   )`,
  `CREATE TABLE decky_revisions (
     decky_id uuid NOT NULL CONSTRAINT decky_revisions_decky REFERENCES deckies ON DELETE CASCADE,
     number int NOT NULL CONSTRAINT decky_revisions_number CHECK (number > 0),
     services jsonb NOT NULL,
     actor text NOT NULL,
     reason text NOT NULL,
     operation_id text NOT NULL,
     created_at timestamptz NOT NULL,
     CONSTRAINT decky_revisions_pkey PRIMARY KEY (decky_id, number)
   )`,
  `CREATE FUNCTION decky_revisions_immutable() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'a revision never changes'; END $$`,
  `CREATE TRIGGER decky_revisions_immutable BEFORE UPDATE ON decky_revisions
     FOR EACH ROW EXECUTE FUNCTION decky_revisions_immutable()`,
  `CREATE TABLE operations (
     id text CONSTRAINT operations_pkey PRIMARY KEY,
     kind text NOT NULL,
     state text NOT NULL CONSTRAINT operations_state
       CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'superseded')),
     decky_id uuid,
     scope text NOT NULL,
     decky_name text NOT NULL,
     host text NOT NULL,
     service text NOT NULL,
     revision int NOT NULL,
     actor text NOT NULL,
     reason text NOT NULL,
     request_id text,
     request_hash text NOT NULL,
     on_failure text NOT NULL CONSTRAINT operations_on_failure CHECK (on_failure IN ('undo', 'keep')),
     expected_plan text NOT NULL,
     parent text,
     plan jsonb,
     receipt jsonb,
     error jsonb,
     cancel_requested boolean NOT NULL,
     created_at timestamptz NOT NULL,
     started_at timestamptz,
     finished_at timestamptz
   )`,
  "CREATE UNIQUE INDEX operations_request ON operations (actor, request_id) WHERE request_id IS NOT NULL",
  "CREATE INDEX operations_open ON operations (decky_id) WHERE state IN ('pending', 'running')",
  "CREATE INDEX operations_recent ON operations (created_at DESC, id)",
  "CREATE INDEX operations_parent ON operations (parent) WHERE parent IS NOT NULL",
  `CREATE TABLE operation_steps (
     operation_id text NOT NULL CONSTRAINT operation_steps_operation REFERENCES operations ON DELETE CASCADE,
     attempt int NOT NULL,
     number int NOT NULL,
     verb text NOT NULL,
     target text NOT NULL,
     cause text NOT NULL,
     service text NOT NULL,
     state text NOT NULL CONSTRAINT operation_steps_state CHECK (state IN ('running', 'succeeded', 'failed')),
     output_tail jsonb NOT NULL,
     started_at timestamptz NOT NULL,
     finished_at timestamptz,
     CONSTRAINT operation_steps_pkey PRIMARY KEY (operation_id, attempt, number)
   )`,
  `CREATE TABLE outbox (
     position bigserial CONSTRAINT outbox_pkey PRIMARY KEY,
     event_id uuid NOT NULL CONSTRAINT outbox_event UNIQUE,
     topic text NOT NULL,
     key text NOT NULL,
     payload jsonb NOT NULL,
     occurred_at timestamptz NOT NULL
   )`,
  `CREATE TABLE tokens (
     id text CONSTRAINT tokens_pkey PRIMARY KEY,
     name text NOT NULL,
     role text NOT NULL CONSTRAINT tokens_role CHECK (role IN ('viewer', 'operator', 'admin')),
     secret_hash text NOT NULL CONSTRAINT tokens_secret UNIQUE,
     created_at timestamptz NOT NULL,
     created_by text NOT NULL,
     expires_at timestamptz,
     revoked_at timestamptz,
     last_used_at timestamptz
   )`,
  `CREATE TABLE audit (
     id uuid CONSTRAINT audit_pkey PRIMARY KEY,
     at timestamptz NOT NULL,
     actor text NOT NULL,
     action text NOT NULL,
     target text NOT NULL,
     outcome text NOT NULL,
     operation_id text NOT NULL,
     reason text NOT NULL,
     peer text NOT NULL
   )`,
  "CREATE INDEX audit_recent ON audit (at DESC, id)",
];

export class Initial1764000000000 implements MigrationInterface {
  readonly name = "Initial1764000000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      "DROP TABLE audit, tokens, outbox, operation_steps, operations, decky_revisions, deckies, fleet, installation",
    );
    await runner.query("DROP FUNCTION decky_revisions_immutable");
  }
}
