import { duplicateKeys } from "@decnet/common/rpc/json/duplicate-keys";
import { numberAsText, unprintable } from "./characters.ts";
import type { PairsRule } from "./types.ts";
import { fitsWhole } from "./whole-text.ts";

export type Pair = readonly [name: string, value: string];

/** Named values as people write them: a JSON object, or one `Name: value` a line. Returns a sentence when it is neither. */
export function parsePairs(text: string): readonly Pair[] | string {
  return text.trimStart().startsWith("{") ? fromJson(text) : fromLines(text);
}

/** One `Name: value` a line, as containers get them. */
export function formatPairs(text: string): string {
  const pairs = parsePairs(text);
  return typeof pairs === "string" ? "" : pairs.map(([name, value]) => `${name}: ${value}`).join("\n");
}

/** Of a name: the wrong one is shown, and compared with others. */
const mostCharacters = 1_024;
const mostPairs = 1_000;

/** What the rule has against these pairs. */
export function checkPairs(text: string, rule: PairsRule): string | undefined {
  const pairs = parsePairs(text);
  if (typeof pairs === "string") return pairs;
  if (pairs.length > mostPairs) return `has more than ${mostPairs} lines`;
  const seen = new Set<string>();
  for (const [name, value] of pairs) {
    const shown = JSON.stringify(name.slice(0, 64));
    if (name.length > mostCharacters || unprintable.test(name) || !fitsWhole(rule.name, name))
      return `${shown} is not a name that can be here`;
    if (seen.has(name.toLowerCase())) return `${shown} is there twice`;
    seen.add(name.toLowerCase());
    if (rule.forbidden?.values.some((each) => String(each).toLowerCase() === name.toLowerCase()) === true)
      return `${shown} cannot be here: ${rule.forbidden.because}`;
    // Containers get one pair a line, whatever else a rule allows.
    if (unprintable.test(value) || !fitsWhole(rule.value, value)) return `the value of ${shown} cannot be sent`;
  }
  return undefined;
}

function fromJson(text: string): readonly Pair[] | string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return "begins like a JSON object and is none";
  }
  const [twice] = duplicateKeys(text);
  if (twice !== undefined) return `${JSON.stringify(twice.join(".").slice(0, 64))} is there twice`;
  const entries = Object.entries(document as Record<string, unknown>);
  const pairs: Pair[] = [];
  for (const [name, value] of entries) {
    const known = typeof value === "number" ? numberAsText(value) : isPlain(value) ? String(value) : undefined;
    if (known === undefined) return `the value of ${JSON.stringify(name.slice(0, 64))} is not text`;
    pairs.push([name, known]);
  }
  return pairs;
}

function isPlain(value: unknown): value is string | boolean {
  return typeof value === "string" || typeof value === "boolean";
}

function fromLines(text: string): readonly Pair[] | string {
  const pairs: Pair[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === "") continue;
    const at = line.indexOf(":");
    if (at < 0) return `${JSON.stringify(line.slice(0, 64))} is not "Name: value"`;
    pairs.push([trimBlanks(line.slice(0, at)), trimBlanks(line.slice(at + 1))]);
  }
  return pairs;
}

/** Without the spaces and tabs around it; no other blank is one here. */
function trimBlanks(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isBlank(text[from])) from += 1;
  while (to > from && isBlank(text[to - 1])) to -= 1;
  return text.slice(from, to);
}

function isBlank(character: string | undefined): boolean {
  return character === " " || character === "\t";
}
