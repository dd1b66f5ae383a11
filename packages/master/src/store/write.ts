import type { EntitySchema, FindOptionsWhere, ObjectLiteral } from "typeorm";
import type { QueryDeepPartialEntity } from "typeorm/query-builder/QueryPartialEntity.js";
import type { Codec } from "./codec.ts";
import { runIn, type Tx } from "./database.ts";
import { managerOf } from "./transaction.ts";

/** Inserts whole rows. TypeORM's own type cannot express JSON columns, hence the casts here. */
export async function insertRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  rows: readonly Row[],
): Promise<void> {
  await managerOf(tx)
    .getRepository(table)
    .insert([...rows] as QueryDeepPartialEntity<Row>[]);
}

/** Rows of one statement. */
const batchSize = 1_000;

/** Inserts many rows, each thousand of them as one value. */
export async function insertJson<Row>(tx: Tx, { table, columns, toJson }: Codec<Row>, rows: readonly Row[]): Promise<void> {
  const names = columns.join(", ");
  const text = `INSERT INTO ${table} (${names}) SELECT ${names} FROM json_populate_recordset(NULL::${table}, $1)`;
  for (let at = 0; at < rows.length; at += batchSize)
    await runIn(tx, { name: `decnet-insert-${table}`, text }, [JSON.stringify(rows.slice(at, at + batchSize).map(toJson))]);
}

/** Changes the rows that match and returns how many did: none means that somebody else was first. */
export async function updateRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  where: FindOptionsWhere<Row>,
  patch: { readonly [Key in keyof Row]?: Row[Key] },
): Promise<number> {
  const result = await managerOf(tx)
    .getRepository(table)
    .update(where, patch as QueryDeepPartialEntity<Row>);
  return result.affected ?? 0;
}

/** Inserts rows, or changes those that are there with the same key. No two of the given rows may have one key. */
export async function upsertRows<Row extends ObjectLiteral>(
  tx: Tx,
  table: EntitySchema<Row>,
  rows: readonly Row[],
  key: readonly (keyof Row & string)[],
): Promise<void> {
  await managerOf(tx)
    .getRepository(table)
    .upsert([...rows] as QueryDeepPartialEntity<Row>[], [...key]);
}
