import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "./cruise.ts";
import { readUsedSubpaths } from "./imports.ts";

/** `npm run exports`: makes the exports of each package what other workspaces import of it. */
for (const [name, subpaths] of await readUsedSubpaths()) {
  const path = join(root, "packages", name, "package.json");
  const manifest = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  manifest["exports"] = Object.fromEntries(
    subpaths.map((subpath) => [
      subpath,
      {
        source: subpath.replace("./", "./src/").concat(".ts"),
        types: subpath.replace("./", "./dist/").concat(".d.ts"),
        default: subpath.replace("./", "./dist/").concat(".js"),
      },
    ]),
  );
  await writeFile(path, `${JSON.stringify(manifest, null, 2)}\n`);
}
