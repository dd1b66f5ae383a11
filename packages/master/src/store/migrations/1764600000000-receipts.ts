import type { MigrationInterface, QueryRunner } from "typeorm";

function renameInReceipts(from: string, to: string): string {
  return `
    UPDATE operations SET receipt = jsonb_set(receipt, '{containers}', (
      SELECT coalesce(
        jsonb_agg((container - '${from}') || jsonb_build_object('${to}', container -> '${from}') ORDER BY place), '[]')
      FROM jsonb_array_elements(receipt -> 'containers') WITH ORDINALITY AS each (container, place)))
    WHERE receipt -> 'containers' -> 0 ? '${from}'`;
}

/** A receipt names the service of a container as the contract does. */
export class Receipts1764600000000 implements MigrationInterface {
  readonly name = "Receipts1764600000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(renameInReceipts("slug", "service"));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(renameInReceipts("service", "slug"));
  }
}
