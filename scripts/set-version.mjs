// set-version.mjs VERSION   The version stands in the package.json files and in deploy/, the same everywhere; this sets it.
// Programs read it with @decnet/common/version.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const version = process.argv[2] ?? "";
if (!/^\d+\.\d+\.\d+(-[\da-z.-]+)?$/.test(version)) {
  console.error("usage: node scripts/set-version.mjs 1.2.3");
  process.exit(2);
}

const { workspaces } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const setIn = (manifest) => {
  manifest.version = version;
  for (const name of Object.keys(manifest.dependencies ?? {}))
    if (name.startsWith("@decnet/")) manifest.dependencies[name] = version;
};
const edit = (path, change) => {
  const document = JSON.parse(readFileSync(join(root, path), "utf8"));
  change(document);
  writeFileSync(join(root, path), `${JSON.stringify(document, null, 2)}\n`);
};

for (const folder of [".", ...workspaces]) edit(join(folder, "package.json"), setIn);
edit("package-lock.json", (lock) => {
  lock.version = version;
  for (const folder of ["", ...workspaces]) setIn(lock.packages[folder]);
});
// The images that the compose files start.
for (const name of readdirSync(join(root, "deploy"))) {
  if (!name.startsWith("compose.")) continue;
  const path = join(root, "deploy", name);
  writeFileSync(path, readFileSync(path, "utf8").replace(/(IMAGE_TAG(?::-|=))[\w.-]+/g, `$1${version}`));
}
