import type { EntitySchema, EntitySchemaColumnOptions } from "typeorm";
import { snakeCase } from "./naming.ts";

/**
 * Rows of one table as JSON and back, from the table's own description: for statements that take or give many rows as one value.
 */
export interface Codec<Row> {
  readonly table: string;
  /** Names of the columns that a writer gives; the database fills in the others. */
  readonly columns: readonly string[];
  toJson(row: Row): Record<string, unknown>;
  fromJson(json: Readonly<Record<string, unknown>>): Row;
}

export function createCodec<Row extends object>(schema: EntitySchema<Row>): Codec<Row> {
  const { columns = {}, tableName = "" } = schema.options;
  const fields = Object.entries<EntitySchemaColumnOptions | undefined>(columns).map(([property, options]) => ({
    property,
    column: snakeCase(property),
    isTime: options?.type === "timestamptz",
    isGenerated: options?.generated !== undefined,
  }));
  return {
    table: tableName,
    columns: fields.filter(({ isGenerated }) => !isGenerated).map(({ column }) => column),
    toJson: (row) => {
      const json: Record<string, unknown> = {};
      for (const { property, column, isGenerated } of fields) if (!isGenerated) json[column] = row[property as keyof Row];
      return json;
    },
    fromJson: (json) => {
      const row: Record<string, unknown> = {};
      for (const { property, column, isTime } of fields) {
        const value = json[column] ?? null;
        row[property] = isTime && typeof value === "string" ? new Date(value) : value;
      }
      return row as Row;
    },
  };
}
