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
  readonly page: PageRange;
}

/** So many rows after the one with this key; from the first on when there is none. */
export interface PageRange {
  readonly size: number;
  readonly after?: readonly string[] | undefined;
}

/** One column that a list is ordered by; together they tell its rows apart. */
export interface OrderColumn<Row> {
  readonly column: string;
  readonly direction: "ASC" | "DESC";
  /** As text that the database reads back as the same value. */
  readonly value: (row: Row) => string;
}

export interface ListOptions<Row> extends ListRequest {
  readonly order: readonly OrderColumn<Row>[];
  readonly conditions: FilterConditions;
  /** What the counts are about, for instance `operation.state`. */
  readonly countBy: string;
  /** Properties that may be large, each with the expression that is listed instead: what a page shows, whatever the rows hold. */
  readonly light?: { readonly [Key in keyof Row & string]?: string };
}

export interface ListedRows<Row> {
  readonly rows: Row[];
  /** Of all rows that match, not only of the page. */
  readonly counts: Record<string, number>;
  /** The key of the last row, when more follow. */
  readonly next: readonly string[] | undefined;
}

/**
 * One page of the rows of a query that match every term, in order, and how many match. The database does the work, not this
 * process.
 */
export async function listRows<Row extends ObjectLiteral>(
  query: SelectQueryBuilder<Row>,
  { terms, conditions, page, countBy, order, light = {} }: ListOptions<Row>,
): Promise<ListedRows<Row>> {
  for (const [index, { key, negated, glob }] of terms.entries()) {
    const condition = conditions[key];
    if (condition === undefined) throw new Error(`no condition for ${key}`);
    const isExact = !glob.includes("*");
    const value = isExact ? glob : glob.replaceAll(/[\\%_]/g, "\\$&").replaceAll("*", "%");
    const text = condition(`${isExact ? "=" : "LIKE"} :term${index}`);
    query.andWhere(negated ? `NOT (${text})` : `(${text})`, { [`term${index}`]: value });
  }
  const counting = query.clone().select(countBy, "value").addSelect("count(*)::int", "count").groupBy(countBy);
  if (page.after !== undefined) addStart(query, order, page.after);
  const alias = query.alias;
  const all = query.expressionMap.mainAlias?.metadata.columns.map(({ propertyName }) => propertyName) ?? [];
  query.select(all.filter((property) => !Object.hasOwn(light, property)).map((property) => `${alias}.${property}`));
  for (const [property, expression] of Object.entries(light)) query.addSelect(expression as string, `light_${property}`);
  query.orderBy(Object.fromEntries(order.map(({ column, direction }) => [column, direction])));
  const [found, counts] = await Promise.all([
    query.limit(page.size + 1).getRawAndEntities<Record<string, unknown>>(),
    counting.getRawMany<{ value: string; count: number }>(),
  ]);
  const rows = found.entities.slice(0, page.size).map((row, index) => {
    for (const property of Object.keys(light)) Reflect.set(row, property, found.raw[index]?.[`light_${property}`] ?? null);
    return row;
  });
  const last = rows.at(-1);
  return {
    rows,
    counts: Object.fromEntries(counts.map(({ value, count }) => [value, count])),
    next: last === undefined || found.entities.length <= rows.length ? undefined : order.map(({ value }) => value(last)),
  };
}

/** Rows that come after the key: equal in the first columns, and further on in the next. */
function addStart<Row extends ObjectLiteral>(
  query: SelectQueryBuilder<Row>,
  order: readonly OrderColumn<Row>[],
  after: readonly string[],
): void {
  const ways = order.map(({ column, direction }, index) => {
    const same = order.slice(0, index).map((each, at) => `${each.column} = :after${at}`);
    return [...same, `${column} ${direction === "ASC" ? ">" : "<"} :after${index}`].join(" AND ");
  });
  const values = Object.fromEntries(order.map((_, index) => [`after${index}`, after[index] ?? ""]));
  query.andWhere(`(${ways.map((way) => `(${way})`).join(" OR ")})`, values);
}
