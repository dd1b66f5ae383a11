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
const mostTerms = 50;
/** Each makes the comparison of a long text longer. */
const mostStars = 10;
const printable = /^[^\u0000-\u001f\u007f]*$/;

/**
 * `state!=running,host=edge-*` → terms. Throws REQUEST_INVALID for an unknown key, and for a value that nothing can have: it is
 * more likely mistyped than meant.
 */
export function parseFilter(filter: string, keys: FilterKeys, field = "filter"): FilterTerm[] {
  const refuse = (description: string) => invalid([{ field, description }]);
  if (filter.length > mostCharacters) throw refuse(`has at most ${mostCharacters} characters`);
  if (!printable.test(filter)) throw refuse("holds control characters");
  const terms = filter.split(",");
  if (terms.length > mostTerms) throw refuse(`has at most ${mostTerms} terms`);
  return terms.flatMap((term): FilterTerm[] => {
    if (term.trim() === "") return [];
    const at = term.indexOf("=");
    const isNegated = term[at - 1] === "!";
    const [key, value] = [term.slice(0, isNegated ? at - 1 : at).trim(), term.slice(at + 1).trim()];
    const isTerm = at > 0 && /^[a-z_]+$/.test(key) && !value.includes("=");
    if (!isTerm || !Object.hasOwn(keys, key)) {
      const meant = isTerm ? nearestName(key, Object.keys(keys)) : undefined;
      const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
      throw refuse(`terms are key=value or key!=value with one of ${Object.keys(keys).join(", ")}${hint}`);
    }
    const words = keys[key];
    const glob = words === undefined ? value : wordOf(value, words);
    if (glob === undefined && words !== undefined) throw refuse(describe(key, value, words));
    if (value.split("*").length - 1 > mostStars) throw refuse(`a value has at most ${mostStars} times *`);
    return [{ key, negated: isNegated, glob: glob ?? value }];
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
