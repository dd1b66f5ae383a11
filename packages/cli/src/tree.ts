import { nearest } from "@decnet/common/runtime/nearest";

/** One command of the tree, as data: what help lists, and what completion and the check of words need. */
export interface Node {
  readonly name: string;
  readonly description: string;
  readonly args: readonly { readonly name: string; readonly usage: string }[];
  readonly options: readonly { readonly names: readonly string[]; readonly hasValue: boolean; readonly description: string }[];
  readonly commands: readonly Node[];
}

/** The option that a word is; `--name=value` is one word. */
export function optionOf(root: Node, node: Node, word: string): Node["options"][number] | undefined {
  const [name = ""] = word.split("=", 1);
  return [...node.options, ...root.options].find(({ names }) => names.includes(name));
}

export interface Descent {
  readonly node: Node;
  /** The words of the commands. */
  readonly path: readonly string[];
  readonly operands: readonly string[];
  /** The option whose value comes next. */
  readonly pending: Node["options"][number] | undefined;
  /** The first word that should name a command and does not. */
  readonly unknown: string | undefined;
}

/** Walks down the tree along the words of a command line. Pure. */
export function descend(root: Node, words: readonly string[]): Descent {
  let node = root;
  const path: string[] = [];
  const operands: string[] = [];
  let unknown: string | undefined;
  let pending: Descent["pending"];
  let isOptionsEnd = false;
  for (const word of words) {
    if (pending !== undefined) {
      pending = undefined;
      continue;
    }
    if (word === "--" && !isOptionsEnd) isOptionsEnd = true;
    else if (word.startsWith("-") && word !== "-" && !isOptionsEnd) {
      const option = optionOf(root, node, word);
      if (option?.hasValue === true && !word.includes("=")) pending = option;
    } else if (node.commands.length > 0 && unknown === undefined) {
      const next = node.commands.find(({ name }) => name === word);
      if (next !== undefined) {
        node = next;
        path.push(word);
      } else if (word !== "help") unknown = word;
    } else operands.push(word);
  }
  return { node, path, operands, pending, unknown };
}

/** The words that are no options and no values of options. Pure. */
export function operandsOf(root: Node, words: readonly string[]): string[] {
  const { path, operands, unknown } = descend(root, words);
  return [...path, ...(unknown === undefined ? [] : [unknown]), ...operands];
}

/** A sentence about a command that there is not; undefined when all are known. Pure. */
export function explainUnknown(root: Node, words: readonly string[]): string | undefined {
  const { node, path, unknown } = descend(root, words);
  if (unknown === undefined || unknown.startsWith("__")) return undefined;
  const full = ["decnet", ...path].join(" ");
  const meant = nearest(
    unknown,
    node.commands.map(({ name }) => name),
  );
  const known = meant === undefined ? `${full} --help` : `did you mean ${full} ${meant}?`;
  return `error: ${full} has no command ${JSON.stringify(unknown)}; ${known}`;
}
