import type { FilterTerm } from "../store/list-rows.ts";

/** For what is not in the database: whether values fit every term of a filter. A term fits when one of its key's values does. */
export function matchesTerms(terms: readonly FilterTerm[], values: Readonly<Record<string, readonly string[]>>): boolean {
  return terms.every(({ key, negated, glob }) => (values[key] ?? []).some((value) => matchesGlob(glob, value)) !== negated);
}

/** `*` stands for any text. No regular expression is built from what a caller sent. */
export function matchesGlob(glob: string, value: string): boolean {
  const [first = "", ...rest] = glob.split("*");
  const last = rest.pop();
  if (last === undefined) return value === glob;
  if (value.length < first.length + last.length || !value.startsWith(first) || !value.endsWith(last)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = value.indexOf(part, at);
    if (found < 0 || found + part.length > value.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}
