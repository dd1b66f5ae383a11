import { timingSafeEqual } from "node:crypto";
import { invalid } from "./requests.ts";

/** The last row of a page, by the values that its list is ordered by. */
export type RowKey = readonly string[];

/** What of a list is asked for. */
export interface Page {
  readonly size: number;
  /** Rows after this one; undefined for the first page. */
  readonly after: RowKey | undefined;
}

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** Tokens of one list with one filter: one that was made for another, or not by this master, is refused. */
export interface PageTokens {
  parse(request: PageRequest, usualSize: number): Page;
  /** Empty on the last page. */
  make(next: RowKey | undefined): string;
}

const sealLength = 32;

/**
 * A token names the last row that was shown and not how many there were, so that no row is left out or shown twice when others
 * come and go. `fingerprint` is a keyed hash; `filter` is anything that JSON can say.
 */
export function createPageTokens(fingerprint: (text: string) => string, list: string, filter: unknown): PageTokens {
  const seal = (text: string) => fingerprint(JSON.stringify(["page", list, filter, text])).slice(0, sealLength);
  const refuse = () =>
    invalid([{ field: "page_token", description: "is not one that this master gave for this list and filter" }]);
  return {
    parse({ pageSize, pageToken }, usualSize) {
      const size = pageSize || usualSize;
      if (pageToken === "") return { size, after: undefined };
      const [, text = "", given = ""] = /^([\w-]{1,1024})\.([0-9a-f]{32})$/.exec(pageToken) ?? [];
      const wanted = seal(text);
      if (given.length !== wanted.length || !timingSafeEqual(Buffer.from(given), Buffer.from(wanted))) throw refuse();
      return { size, after: JSON.parse(Buffer.from(text, "base64url").toString("utf8")) as RowKey };
    },
    make(next) {
      if (next === undefined) return "";
      const text = Buffer.from(JSON.stringify(next)).toString("base64url");
      return `${text}.${seal(text)}`;
    },
  };
}

/** A page of rows that are in order, with the key of its last row when more follow. For lists that are not in the database. */
export function pageOf<Row>(
  rows: readonly Row[],
  { size, after }: Page,
  keyOf: (row: Row) => RowKey,
): { readonly rows: readonly Row[]; readonly next: RowKey | undefined } {
  const rest = after === undefined ? rows : rows.filter((row) => compareKeys(keyOf(row), after) > 0);
  const shown = rest.slice(0, size);
  const last = shown.at(-1);
  return { rows: shown, next: last === undefined || shown.length === rest.length ? undefined : keyOf(last) };
}

export function compareKeys(left: RowKey, right: RowKey): number {
  for (const [index, value] of left.entries()) {
    const other = right[index] ?? "";
    if (value !== other) return value < other ? -1 : 1;
  }
  return 0;
}
