import type { FieldViolation } from "@decnet/common/errors/app-error";
import { isMap, isScalar, isSeq, type Node } from "yaml";
import type { Document } from "./document.ts";

/** What the master refused of a file, with the places in it. `root` is the request's field that the file is. */
export function placesOf(document: Document, violations: readonly FieldViolation[], root: string): string[] {
  const own = violations.filter(({ field }) => field.startsWith(`${root}.`));
  return own.map(({ field, description }) => {
    const path = field
      .slice(root.length + 1)
      .split(/[.[\]]+/)
      .filter((part) => part !== "");
    const setting = /^([a-z][a-z0-9_]*): /.exec(description)?.[1];
    const inner = setting === undefined ? undefined : find(document, [...path, "config", setting]);
    return `${document.place(inner ?? find(document, path) ?? document.root)}: ${description}`;
  });
}

/** The deepest node on the way that is in the file. A setting is only found as a whole. */
function find(document: Document, path: readonly string[]): Node | undefined {
  const isSetting = path.includes("config");
  let node: Node = document.root;
  for (const part of path) {
    const next = inside(document, node, part);
    if (next === undefined) return isSetting ? undefined : node;
    node = next;
  }
  return node;
}

function inside(document: Document, node: Node, part: string): Node | undefined {
  if (isSeq(node)) return document.resolve(node.items[Number(part)]);
  if (!isMap(node)) return undefined;
  const camel = part.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const pair = node.items.find(({ key }) => isScalar(key) && (key.value === part || key.value === camel));
  return document.resolve(pair?.value);
}
