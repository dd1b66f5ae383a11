import type { EntitySchema, FindOptionsWhere, ObjectLiteral } from "typeorm";
import type { QueryDeepPartialEntity } from "typeorm/query-builder/QueryPartialEntity.js";
import type { Tx } from "./database.ts";

/** One statement takes at most 65,535 values: rows go in by so many. */
const together = 500;

/** Inserts whole rows. TypeORM's own type cannot express JSON columns, hence the casts here. */
export async function insertRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  rows: readonly Row[],
): Promise<void> {
  for (let at = 0; at < rows.length; at += together)
    await tx.getRepository(table).insert(rows.slice(at, at + together) as QueryDeepPartialEntity<Row>[]);
}

/** Changes the rows that match and tells how many did: none means that somebody else was first. */
export async function updateRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  where: FindOptionsWhere<Row>,
  patch: { readonly [Key in keyof Row]?: Row[Key] },
): Promise<number> {
  const result = await tx.getRepository(table).update(where, patch as QueryDeepPartialEntity<Row>);
  return result.affected ?? 0;
}

/** Inserts rows, or changes those that are there with the same key. No two of the given rows may have one key. */
export async function upsertRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  rows: readonly Row[],
  key: readonly (keyof Row & string)[],
): Promise<void> {
  await tx.getRepository(table).upsert([...rows] as QueryDeepPartialEntity<Row>[], [...key]);
}
