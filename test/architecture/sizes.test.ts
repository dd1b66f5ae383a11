import { readFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { root } from "./cruise.ts";
import { listFiles } from "./imports.ts";

const mostLinesOfFunction = 120;
const mostLinesOfFile = 300;

/** Rows and columns, and no decisions. */
const tables = [
  /^packages\/contract\/src\/reasons\.ts$/,
  /^packages\/master\/src\/.*\/tables\.ts$/,
  /^packages\/master\/src\/.*\/migrations\//,
];

/** `name` of each function with its lines; a factory counts with everything that is in it. */
function measureFunctions(path: string, text: string): { name: string; lines: number }[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: { name: string; lines: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const [first, last] = [node.getStart(source), node.end].map((at) => source.getLineAndCharacterOfPosition(at).line);
      found.push({ name: nameOf(node), lines: (last ?? 0) - (first ?? 0) + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function nameOf(node: ts.SignatureDeclaration): string {
  const named =
    node.name ?? (ts.isVariableDeclaration(node.parent) || ts.isPropertyAssignment(node.parent) ? node.parent.name : undefined);
  return named?.getText() ?? "a function without a name";
}

async function findTooLong(): Promise<string[]> {
  const found: string[] = [];
  for (const path of await listFiles("packages")) {
    if (
      !/^packages\/[^/]+\/src\/.*\.ts$/.test(path) ||
      /\/gen\/|\.test\.ts$/.test(path) ||
      tables.some((pattern) => pattern.test(path))
    )
      continue;
    const text = await readFile(join(root, path), "utf8").catch(() => "");
    if (text.split("\n").length - 1 > mostLinesOfFile) found.push(path);
    for (const { name, lines } of measureFunctions(path, text)) if (lines > mostLinesOfFunction) found.push(`${path} ${name}`);
  }
  return found.sort();
}

test(`no function is longer than ${mostLinesOfFunction} lines, and no file longer than ${mostLinesOfFile}`, async () => {
  const found = await findTooLong();
  expect(found).toEqual([]);
});

test("functions of every kind are measured, with what is in them", () => {
  const text = [
    "function outer() {",
    "  const inner = () => {",
    "    return 1;",
    "  };",
    "  return { method() {}, inner };",
    "}",
    "class Room { constructor() {",
    "} }",
  ].join("\n");
  expect(measureFunctions("sample.ts", text)).toEqual([
    { name: "outer", lines: 6 },
    { name: "inner", lines: 3 },
    { name: "method", lines: 1 },
    { name: "a function without a name", lines: 2 },
  ]);
});
