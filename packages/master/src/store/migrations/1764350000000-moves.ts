import type { MigrationInterface, QueryRunner } from "typeorm";

const statements = [
  // Where it still has to be removed: a decky that is moved again before the first move is over leaves several hosts.
  "ALTER TABLE deckies ADD COLUMN leaving_hosts text[] NOT NULL DEFAULT '{}'",
  "UPDATE deckies SET leaving_hosts = ARRAY[previous_host] WHERE previous_host IS NOT NULL",
  "ALTER TABLE deckies ALTER COLUMN leaving_hosts DROP DEFAULT",
  "ALTER TABLE deckies DROP COLUMN previous_host",
  // Few do at a time.
  "CREATE INDEX deckies_leaving ON deckies (id) WHERE leaving_hosts <> '{}'",
  // Where it was last seen running: a move that fails goes back there.
  "ALTER TABLE deckies ADD COLUMN last_host text",
  "UPDATE deckies SET last_host = host WHERE rendered_revision > 0 AND leaving_hosts = '{}'",
  // Its deckies are on their way out; with the last of them its certificate ends.
  "ALTER TABLE hosts ADD COLUMN decommissioning boolean NOT NULL DEFAULT false",
  "ALTER TABLE hosts ALTER COLUMN decommissioning DROP DEFAULT",
];

export class Moves1764350000000 implements MigrationInterface {
  readonly name = "Moves1764350000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE deckies ADD COLUMN previous_host text");
    await runner.query("UPDATE deckies SET previous_host = leaving_hosts[1]");
    await runner.query("ALTER TABLE deckies DROP COLUMN leaving_hosts, DROP COLUMN last_host");
    await runner.query("ALTER TABLE hosts DROP COLUMN decommissioning");
  }
}
