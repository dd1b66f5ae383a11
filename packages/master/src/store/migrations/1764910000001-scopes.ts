import type { MigrationInterface, QueryRunner } from "typeorm";

/** How topologies stand is asked every few seconds, of their own operations alone. */
export class Scopes1764910000001 implements MigrationInterface {
  readonly name = "Scopes1764910000001";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query("CREATE INDEX operations_scope ON operations (scope, created_at DESC) WHERE scope <> 'fleet'");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP INDEX operations_scope");
  }
}
