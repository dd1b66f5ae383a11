import type { EntitySchema, FindOptionsWhere, ObjectLiteral } from "typeorm";
import type { QueryDeepPartialEntity } from "typeorm/query-builder/QueryPartialEntity.js";
import type { Tx } from "./database.ts";

/** Inserts whole rows. TypeORM's own type cannot express JSON columns, hence the one cast here. */
export async function insertRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  rows: readonly Row[],
): Promise<void> {
  await tx.getRepository(table).insert([...rows] as QueryDeepPartialEntity<Row>[]);
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
