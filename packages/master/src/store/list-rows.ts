import type { ObjectLiteral, SelectQueryBuilder } from "typeorm";

/** `key=glob`, or `key!=glob` when negated; `*` stands for any text. */
export interface FilterTerm {
  readonly key: string;
  readonly negated: boolean;
  readonly glob: string;
}

/** For each key of a filter: a condition in SQL about a value, given as the comparison that follows the value. */
export type FilterConditions = Readonly<Record<string, (comparison: string) => string>>;

/** What of a list is asked for. */
export interface ListRequest {
  readonly terms: readonly FilterTerm[];
  readonly page: { readonly size: number; readonly offset: number };
}

export interface ListOptions extends ListRequest {
  readonly conditions: FilterConditions;
  /** What the counts are about, for instance `operation.state`. */
  readonly countBy: string;
}

export interface ListedRows<Row> {
  readonly rows: Row[];
  /** Of all rows that match, not only of the page. */
  readonly counts: Record<string, number>;
  /** Where the next page begins; undefined on the last one. */
  readonly next: number | undefined;
}

/**
 * One page of the rows of an ordered query that match every term, and how many match. The database does the work, not this
 * process.
 */
export async function listRows<Row extends ObjectLiteral>(
  query: SelectQueryBuilder<Row>,
  { terms, conditions, page, countBy }: ListOptions,
): Promise<ListedRows<Row>> {
  for (const [index, { key, negated, glob }] of terms.entries()) {
    const condition = conditions[key];
    if (condition === undefined) throw new Error(`no condition for ${key}`);
    const isExact = !glob.includes("*");
    const value = isExact ? glob : glob.replaceAll(/[\\%_]/g, "\\$&").replaceAll("*", "%");
    const text = condition(`${isExact ? "=" : "LIKE"} :term${index}`);
    query.andWhere(negated ? `NOT (${text})` : `(${text})`, { [`term${index}`]: value });
  }
  const counting = query.clone().orderBy().select(countBy, "value").addSelect("count(*)::int", "count").groupBy(countBy);
  const [rows, counts] = await Promise.all([
    query.offset(page.offset).limit(page.size).getMany(),
    counting.getRawMany<{ value: string; count: number }>(),
  ]);
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  const next = page.offset + rows.length;
  return {
    rows,
    counts: Object.fromEntries(counts.map(({ value, count }) => [value, count])),
    next: rows.length > 0 && next < total ? next : undefined,
  };
}
