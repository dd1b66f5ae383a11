import { nearestName } from "@decnet/common/runtime/nearest";
import { auditFilterKeys } from "../store/audit.ts";
import { deckyFilterKeys } from "../store/deckies.ts";
import type { FilterTerm } from "../store/list-rows.ts";
import { operationFilterKeys } from "../store/operations.ts";
import { topologyFilterKeys } from "../store/topologies.ts";
import { matchesGlob } from "./match-terms.ts";
import { deckyStates, operationKinds, operationStates } from "./messages.ts";
import { invalid } from "./requests.ts";
import { topologyStates } from "./topology-messages.ts";

/** What a filter can name, and what each can be: anything, or one of some words, which the contract names with a prefix. */
export type FilterKeys = Readonly<Record<string, FilterWords | undefined>>;

export interface FilterWords {
  /** `OPERATION_STATE` for words that the contract calls OPERATION_STATE_RUNNING; empty when it has no enum for them. */
  readonly prefix: string;
  readonly words: readonly string[];
}

function keysOf(keys: readonly string[], words: FilterKeys = {}): FilterKeys {
  return { ...Object.fromEntries(keys.map((key) => [key, undefined])), ...words };
}

export const auditFilter = keysOf(auditFilterKeys);
export const deckyFilter = keysOf(deckyFilterKeys, { state: { prefix: "DECKY_STATE", words: Object.keys(deckyStates) } });
export const operationFilter = keysOf(operationFilterKeys, {
  state: { prefix: "OPERATION_STATE", words: Object.keys(operationStates) },
  kind: { prefix: "OPERATION_KIND", words: Object.keys(operationKinds) },
});
export const topologyFilter = keysOf(topologyFilterKeys, {
  state: { prefix: "TOPOLOGY_STATE", words: Object.keys(topologyStates) },
});

const mostCharacters = 1_000;
const printable = /^[^\u0000-\u001f\u007f]*$/;

/**
 * `state!=running,host=edge-*` → terms. Throws REQUEST_INVALID for an unknown key, and for a value that nothing can have: it is
 * more likely mistyped than meant.
 */
export function parseFilter(filter: string, keys: FilterKeys, field = "filter"): FilterTerm[] {
  const refuse = (description: string) => invalid([{ field, description }]);
  if (filter.length > mostCharacters) throw refuse(`has at most ${mostCharacters} characters`);
  if (!printable.test(filter)) throw refuse("holds control characters");
  return filter.split(",").flatMap((term): FilterTerm[] => {
    if (term.trim() === "") return [];
    const match = /^\s*([a-z_]+)\s*(!?=)\s*([^=]*?)\s*$/.exec(term);
    const [, key = "", operator, value = ""] = match ?? [];
    if (match === null || !Object.hasOwn(keys, key)) {
      const meant = nearestName(key, Object.keys(keys));
      const hint = match === null || meant === undefined ? "" : `; did you mean ${meant}?`;
      throw refuse(`terms are key=value or key!=value with one of ${Object.keys(keys).join(", ")}${hint}`);
    }
    const words = keys[key];
    const glob = words === undefined ? value : wordOf(value, words);
    if (glob === undefined && words !== undefined) throw refuse(describe(key, value, words));
    return [{ key, negated: operator === "!=", glob: glob ?? value }];
  });
}

/** As it is stored; undefined when none of the words fits. */
function wordOf(value: string, { prefix, words }: FilterWords): string | undefined {
  const small = value.toLowerCase().replaceAll("-", "_");
  const start = `${prefix.toLowerCase()}_`;
  const word = prefix !== "" && small.startsWith(start) ? small.slice(start.length) : small;
  return words.some((each) => matchesGlob(word, each)) ? word : undefined;
}

function describe(key: string, value: string, { words }: FilterWords): string {
  const meant = nearestName(value, words);
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return `there is no ${key} ${JSON.stringify(value)}, only ${words.join(", ")}${hint}`;
}
