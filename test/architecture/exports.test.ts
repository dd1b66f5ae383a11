import { access } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "./cruise.ts";
import { packages, readManifest, readUsedSubpaths } from "./imports.ts";

describe.each(packages)("the package %s", (name) => {
  const readExports = async () => (await readManifest(`packages/${name}`)).exports ?? {};

  test("exports what other workspaces import of it, and nothing else; `npm run exports` writes the list", async () => {
    const used = (await readUsedSubpaths()).get(name);
    expect(Object.keys(await readExports()).sort()).toEqual(used);
  });

  test("exports files that are there", async () => {
    for (const { source = "" } of Object.values(await readExports())) await access(join(root, "packages", name, source));
  });
});
