// bundle-programs.mjs   The programs that tests start by the hundred, with all that they load, in few files: build/programs.
// A master opens 1,700 modules, which is more than half of the processor time of its start, and the command line 360. Made of
// what was just built; that what is shipped starts as it is shipped, module by module, is what some of test/e2e sees.
import { copyFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
/** What the programs find by their own place they find from here too: three folders below the checkout, beside a manifest. */
const folder = join(root, "build/programs");
const support = join(root, "build/test/support");

const ofTests = (await readdir(support)).filter((name) => /^(crashing|memory)-(master|agent)\.js$/.test(name));
await rm(folder, { recursive: true, force: true });
await build({
  entryPoints: [
    ...["master", "agent", "cli"].map((name) => ({ in: join(root, "packages", name, "dist/main.js"), out: `${name}/main` })),
    ...ofTests.map((name) => ({ in: join(support, name), out: `test/${name.replace(/\.js$/, "")}` })),
  ],
  outdir: folder,
  // Not "module", which is for programs that run in a browser.
  conditions: [],
  // Of ssh2, which does without, and which nothing here uses.
  external: ["*.node"],
  bundle: true,
  // A migration, a kind of error and others are known by their names.
  keepNames: true,
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  platform: "node",
  format: "esm",
  target: "node20",
  logLevel: "error",
  banner: {
    js: [
      'import { createRequire as createRequireOfBundle } from "node:module";',
      'import { dirname as dirnameOfBundle } from "node:path";',
      "const require = createRequireOfBundle(import.meta.url);",
      "const __filename = import.meta.filename, __dirname = dirnameOfBundle(__filename);",
    ].join("\n"),
  },
});
await copyFile(join(root, "packages/common/package.json"), join(folder, "package.json"));
const wrapper = [
  "#!/usr/bin/env bash",
  `DECNET_PROGRAM=\${DECNET_PROGRAM:-$0} exec node '${join(folder, "cli/main.js").replaceAll("'", "'\\''")}' "$@"`,
];
await writeFile(join(folder, "decnet"), `${wrapper.join("\n")}\n`, { mode: 0o755 });
