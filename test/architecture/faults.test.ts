import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { root } from "./cruise.ts";

/** Where each fault's number is in the name of a test: `it("… (W-20, W-24)"`. */
async function faultsInTests(): Promise<string[]> {
  const found = new Set<string>();
  for (const folder of ["packages", "test"])
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".test.ts") || /node_modules|\/dist\//.test(`${entry.parentPath}/`)) continue;
      const file = join(entry.parentPath, entry.name);
      if (relative(root, file) === "test/architecture/faults.test.ts") continue;
      const names = (await readFile(file, "utf8")).matchAll(/\([^()]*\bW-\d+[^()]*\)/g);
      for (const [name] of names) for (const [fault] of name.matchAll(/W-\d+/g)) found.add(`${fault} ${relative(root, file)}`);
    }
  return [...found].sort();
}

test("docs/faults.md names each fault that a test shows, with all files that do", async () => {
  const page = join(root, "docs/faults.md");
  const rows = [...(await readFile(page, "utf8")).matchAll(/^\| (W-\d+) \|.*\|(.*)\|$/gm)];
  const told = rows.flatMap(([, fault, tests = ""]) =>
    [...tests.matchAll(/\]\(([^)]+)\)/g)].map(([, link = ""]) => `${fault} ${relative(root, join(dirname(page), link))}`),
  );
  expect(told.sort()).toEqual(await faultsInTests());
});
