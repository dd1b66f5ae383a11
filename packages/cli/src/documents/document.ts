import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  visit,
  YAMLMap,
  YAMLSeq,
} from "yaml";
import { readText } from "../settings.ts";
import { UsageError } from "../usage-error.ts";

/**
 * A YAML (or JSON) file of which every word is text as it was written: what a word means is for its field to say. Problems are
 * gathered with their places.
 */
export interface Document {
  readonly file: string;
  readonly root: Node;
  /** The node that an alias stands for. */
  resolve(node: unknown): Node | undefined;
  /** `file:line:column` */
  place(at: unknown): string;
  problem(at: unknown, message: string): void;
  /** Throws when there are problems. */
  check(): void;
}

const mostProblems = 20;
/** Words of a file with all that its aliases stand for: ten times a fleet of ten thousand. */
const mostNodes = 2_000_000;

export function openDocument(file: string): Document {
  const lines = new LineCounter();
  const parsed = parseDocument(readText(file), { schema: "failsafe", lineCounter: lines, prettyErrors: false });
  const name = file === "-" ? "standard input" : file;
  const problems: string[] = [];
  const placeOf = (offset: number | undefined) => {
    const { line, col } = lines.linePos(offset ?? 0);
    return `${name}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  };
  let targets: ReadonlyMap<unknown, Node> = new Map();
  let left = mostNodes;
  const document: Omit<Document, "root"> = {
    file: name,
    resolve(node) {
      left -= 1;
      if (left < 0) throw new UsageError(`${name}: its aliases make more than ${mostNodes} words of it`);
      return (isAlias(node) ? targets.get(node) : (node as Node | null)) ?? undefined;
    },
    place: (at) => placeOf((at as { readonly range?: readonly number[] | null } | null | undefined)?.range?.[0]),
    problem: (at, message) => void problems.push(`${document.place(at)}: ${message}`),
    check() {
      if (problems.length === 0) return;
      const shown = problems.slice(0, mostProblems);
      const more = problems.length - shown.length;
      throw new UsageError([...shown, ...(more > 0 ? [`and ${more} more`] : [])].join("\n"));
    },
  };
  for (const { pos, message } of [...parsed.errors, ...parsed.warnings]) problems.push(`${placeOf(pos[0])}: ${message}`);
  document.check();
  targets = aliasesOf(parsed);
  const root = document.resolve(parsed.contents);
  if (!isMap(root)) throw new UsageError(`${name} must hold a map`);
  return { ...document, root };
}

/** What each alias stands for: all in one walk, because the library walks through the whole file for each. */
function aliasesOf(parsed: ReturnType<typeof parseDocument>): Map<unknown, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<unknown, Node>();
  visit(parsed, {
    Node(_, node) {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target !== undefined) targets.set(node, target);
      } else if ("anchor" in node && typeof node.anchor === "string") anchors.set(node.anchor, node as Node);
    },
  });
  return targets;
}

export interface Entry {
  readonly key: string;
  readonly at: unknown;
  /** Undefined for nothing, or null: `key:` and `key: ~`. */
  readonly value: Node | undefined;
}

/** The entries of a map; a problem when it is none. */
export function entriesOf(document: Document, node: Node, what: string): Entry[] {
  const resolved = document.resolve(node);
  if (!(resolved instanceof YAMLMap)) {
    document.problem(node, `${what} is a map`);
    return [];
  }
  return resolved.items.flatMap((pair: Pair) => {
    const key = document.resolve(pair.key);
    if (!isScalar(key) || typeof key.value !== "string") {
      document.problem(pair.key, `a key of ${what} is text`);
      return [];
    }
    const value = document.resolve(pair.value);
    return [{ key: key.value, at: key, value: value === undefined || isNothing(value) ? undefined : value }];
  });
}

/** The items of a list; a problem when it is none. */
export function itemsOf(document: Document, node: Node, what: string): Node[] {
  const resolved = document.resolve(node);
  if (resolved instanceof YAMLSeq) return resolved.items.flatMap((item) => document.resolve(item) ?? []);
  document.problem(node, `${what} is a list`);
  return [];
}

/** A word or a text as it was written; a problem when it is a list or a map. */
export function textOf(document: Document, node: Node, what: string): string {
  const resolved = document.resolve(node);
  if (isScalar(resolved)) return String(resolved.value ?? "");
  document.problem(node, `${what} is text, not a ${isSeq(resolved) ? "list" : "map"}`);
  return "";
}

/** A number as people write it: no other notation is guessed at. */
export function numberOf(document: Document, node: Node, what: string): number {
  const text = textOf(document, node, what);
  if (/^[+-]?(0|[1-9]\d*)$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  document.problem(node, `${what} is a whole number such as 80, not ${JSON.stringify(text.slice(0, 64))}`);
  return 0;
}

export function booleanOf(document: Document, node: Node, what: string): boolean {
  const text = textOf(document, node, what).toLowerCase();
  if (["true", "yes", "on"].includes(text)) return true;
  if (!["false", "no", "off"].includes(text)) document.problem(node, `${what} is true or false`);
  return false;
}

const nothing = ["", "~", "null", "Null", "NULL"];

function isNothing(node: Node): boolean {
  return isScalar(node) && isPlain(node) && nothing.includes(String(node.value ?? ""));
}

function isPlain({ type }: Scalar): boolean {
  return type === undefined || type === "PLAIN";
}
