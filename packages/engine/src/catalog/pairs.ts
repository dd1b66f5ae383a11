import { duplicateKeys } from "@decnet/common/rpc/json/duplicate-keys";
import { numberAsText, unprintable } from "./characters.ts";
import type { PairsRule } from "./types.ts";
import { wholeText } from "./whole-text.ts";

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

/** What the rule has against these pairs. */
export function checkPairs(text: string, rule: PairsRule): string | undefined {
  const pairs = parsePairs(text);
  if (typeof pairs === "string") return pairs;
  const seen = new Set<string>();
  for (const [name, value] of pairs) {
    const shown = JSON.stringify(name.slice(0, 64));
    if (unprintable.test(name) || !wholeText(rule.name).test(name)) return `${shown} is not a name that can be here`;
    if (seen.has(name.toLowerCase())) return `${shown} is there twice`;
    seen.add(name.toLowerCase());
    if (rule.forbidden?.values.some((each) => String(each).toLowerCase() === name.toLowerCase()) === true)
      return `${shown} cannot be here: ${rule.forbidden.because}`;
    // Containers get one pair a line, whatever else a rule allows.
    if (unprintable.test(value) || !wholeText(rule.value).test(value)) return `the value of ${shown} cannot be sent`;
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
    const [, name, value] = /^[ \t]*([^:]*?)[ \t]*:[ \t]*(.*?)[ \t]*$/su.exec(line) ?? [];
    if (name === undefined || value === undefined) return `${JSON.stringify(line.slice(0, 64))} is not "Name: value"`;
    pairs.push([name, value]);
  }
  return pairs;
}
