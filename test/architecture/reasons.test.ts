import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { holesOf, type NextStep } from "@decnet/contract/next-steps";
import { metadataKeys, reasons } from "@decnet/contract/reasons";
import ts from "typescript";
import { expect, test } from "vitest";
import { root } from "./cruise.ts";
import { listFiles } from "./imports.ts";

interface Raised {
  /** Empty when it is computed. */
  readonly reason: string;
  readonly keys: readonly string[];
  readonly at: string;
}

/** Every `new AppError("REASON", …, { metadata: { … } })` in the sources, with the keys that stand there. */
async function findRaised(): Promise<Raised[]> {
  const raised: Raised[] = [];
  for (const path of await listFiles("packages")) {
    if (!/\/src\/.*\.ts$/.test(path) || /\.test\.ts$|\/gen\//.test(path)) continue;
    const text = await readFile(join(root, path), "utf8").catch(() => "");
    const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    const visit = (node: ts.Node): void => {
      if (ts.isNewExpression(node) && /^(AppError|OperationFailed)$/.test(node.expression.getText())) {
        const [reason] = node.arguments ?? [];
        const keys = (node.arguments ?? []).flatMap(metadataKeysIn);
        const at = `${path}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
        raised.push({ reason: reason !== undefined && ts.isStringLiteral(reason) ? reason.text : "", keys, at });
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return raised;
}

function metadataKeysIn(argument: ts.Expression): string[] {
  if (!ts.isObjectLiteralExpression(argument)) return [];
  const property = argument.properties.find((each) => each.name?.getText() === "metadata");
  return property !== undefined && ts.isPropertyAssignment(property) ? namesIn(property.initializer) : [];
}

/** The keys of an object, also of those that are spread into it. */
function namesIn(node: ts.Node): string[] {
  const own = ts.isObjectLiteralExpression(node) ? node.properties.flatMap((each) => each.name?.getText() ?? []) : [];
  const inner: string[] = [];
  ts.forEachChild(node, (child) => {
    inner.push(...namesIn(child));
  });
  return [...own, ...inner];
}

test("errors carry only metadata that the contract names", async () => {
  const raised = await findRaised();
  expect(raised.length).toBeGreaterThan(50);
  const unknown = raised.flatMap(({ at, keys }) =>
    keys.filter((key) => !Object.hasOwn(metadataKeys, key)).map((key) => `${at} ${key}`),
  );
  expect(unknown).toEqual([]);
});

test("what a next step names in braces is given by at least one place that raises the error", async () => {
  const raised = await findRaised();
  // Where the reason is computed, it may be any.
  const givenFor = (reason: string) =>
    raised.filter((each) => each.reason === reason || each.reason === "").flatMap(({ keys }) => keys);
  const missing = Object.entries(reasons).flatMap(([reason, { next }]) => {
    const holes = (next as readonly NextStep[]).flatMap(holesOf);
    return holes.filter((key) => !givenFor(reason).includes(key)).map((key) => `${reason} ${key}`);
  });
  expect(missing).toEqual([]);
});

test("each reason is met by a test", async () => {
  const tests = (await listFiles("packages", "test")).filter((path) =>
    /\.test\.ts$|^test\/characterisation\/recorded\//.test(path),
  );
  const texts = await Promise.all(tests.map((path) => readFile(join(root, path), "utf8").catch(() => "")));
  const unmet = Object.keys(reasons).filter((reason) => !texts.some((text) => new RegExp(`\\b${reason}\\b`).test(text)));
  expect(unmet).toEqual([]);
});
