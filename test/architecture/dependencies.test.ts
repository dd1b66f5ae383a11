import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { createTree, cruise, root, rulesFile } from "./cruise.ts";

const rules = createRequire(import.meta.url)(rulesFile) as { forbidden: { name: string; comment?: string }[] };

test("every import in this repository follows the rules of .dependency-cruiser.cjs", async () => {
  const { modules, violations } = await cruise(root);
  expect(modules).toBeGreaterThan(20);
  const sentences = violations.map(({ rule, from, to }) => {
    const comment = rules.forbidden.find(({ name }) => name === rule)?.comment;
    return `${from} imports ${to}: ${rule}${comment === undefined ? "" : ` (${comment})`}`;
  });
  expect(sentences).toEqual([]);
});

/** For each rule one file whose only fault is to break that rule: its path, and what it imports. */
const offences: Record<string, readonly [path: string, imports: string]> = {
  "contract-imports-no-other-package": ["packages/contract/src/a.ts", "@decnet/common/leaf"],
  "common-imports-only-contract": ["packages/common/src/a.ts", "@decnet/engine/leaf"],
  "engine-imports-only-contract-and-common": ["packages/engine/src/a.ts", "@decnet/master/leaf"],
  "master-imports-only-contract-and-common-and-engine": ["packages/master/src/a.ts", "@decnet/agent/leaf"],
  "agent-imports-only-contract-and-common-and-engine": ["packages/agent/src/a.ts", "@decnet/master/leaf"],
  "cli-imports-only-contract-and-common": ["packages/cli/src/a.ts", "@decnet/engine/leaf"],
  "console-imports-only-contract": ["packages/console/src/a.ts", "@decnet/engine/leaf"],
  "commander-only-in-its-wrapper": ["packages/master/src/b.ts", "commander"],
  "dockerode-only-in-its-wrapper": ["packages/engine/src/observe/c.ts", "dockerode"],
  "kafkajs-only-in-its-wrapper": ["packages/master/src/e.ts", "kafkajs"],
  "pino-only-in-its-wrapper": ["packages/master/src/f.ts", "pino"],
  "typeorm-only-in-its-wrapper": ["packages/master/src/g.ts", "typeorm"],
  "master-model-looks-down": ["packages/master/src/model/q.ts", "../decide/leaf.ts"],
  "master-decide-looks-down": ["packages/master/src/decide/q.ts", "../store/leaf.ts"],
  "master-store-looks-down": ["packages/master/src/store/q.ts", "../links/leaf.ts"],
  "master-links-looks-down": ["packages/master/src/links/q.ts", "../convergence/leaf.ts"],
  "master-convergence-looks-down": ["packages/master/src/convergence/q.ts", "../changes/leaf.ts"],
  "master-hosts-looks-down": ["packages/master/src/hosts/q.ts", "../rpc/leaf.ts"],
  "master-topologies-looks-down": ["packages/master/src/topologies/q.ts", "../changes/leaf.ts"],
  "master-bus-looks-down": ["packages/master/src/bus/q.ts", "../changes/leaf.ts"],
  "master-backup-looks-down": ["packages/master/src/backup/q.ts", "../changes/leaf.ts"],
  "master-webhooks-looks-down": ["packages/master/src/webhooks/q.ts", "../changes/leaf.ts"],
  "master-changes-looks-down": ["packages/master/src/changes/q.ts", "../rpc/leaf.ts"],
  "master-access-looks-down": ["packages/master/src/access/q.ts", "../changes/leaf.ts"],
  "master-rpc-looks-down": ["packages/master/src/rpc/q.ts", "../elsewhere/leaf.ts"],
  "master-decisions-are-pure": ["packages/master/src/decide/r.ts", "node:net"],
  "transactions-are-opaque": ["packages/master/src/changes/s.ts", "../store/transaction.ts"],
  "known-packages": ["packages/unnamed/src/h.ts", "node:path"],
  resolved: ["packages/common/src/i.ts", "./missing.ts"],
  "no-cycles": ["packages/common/src/j.ts", "./j.ts"],
  "main-is-not-imported": ["packages/cli/src/k.ts", "./main.ts"],
  "no-tests-in-products": ["packages/cli/src/l.ts", "./leaf.test.ts"],
  "processes-only-in-their-wrappers": ["packages/engine/src/execute/m.ts", "node:child_process"],
  "leaves-of-common": ["packages/common/src/errors/n.ts", "../rpc/leaf.ts"],
  "browser-safe-contract": ["packages/contract/src/q.ts", "node:fs"],
  "pure-texts": ["packages/cli/src/text/r.ts", "../leaf.ts"],
  "pure-decisions": ["packages/engine/src/plan/o.ts", "node:fs/promises"],
};

test("every rule fires when it is broken", async () => {
  const workspaces = ["contract", "common", "engine", "master", "agent", "cli", "console"];
  const libraries = ["commander", "dockerode", "kafkajs", "pino", "typeorm"];
  const leaf = "export const leaf = 1;\n";
  const files: Record<string, string> = {
    "packages/cli/src/main.ts": 'import "./leaf.ts";\n',
    "packages/cli/src/leaf.test.ts": leaf,
    "packages/common/src/rpc/leaf.ts": leaf,
  };
  for (const room of ["decide", "store", "links", "convergence", "changes", "rpc", "elsewhere"])
    files[`packages/master/src/${room}/leaf.ts`] = leaf;
  files["packages/master/src/store/transaction.ts"] = leaf;
  for (const name of workspaces) files[`packages/${name}/src/leaf.ts`] = leaf;
  for (const [path, imports] of Object.values(offences)) files[path] = `import "${imports}";\n`;

  await using tree = await createTree(files, workspaces, libraries);
  const { violations } = await cruise(tree.folder);
  const unreached = violations.filter(({ rule }) => rule === "reached-by-a-program").map(({ to }) => to);
  expect(unreached).toContain("packages/master/src/leaf.ts");
  expect(unreached).not.toContain("packages/cli/src/leaf.ts");
  const found = violations.filter(({ rule }) => rule !== "reached-by-a-program").map(({ rule, from }) => `${rule}: ${from}`);
  expect([...new Set(found)].sort()).toEqual(
    Object.entries(offences)
      .map(([rule, [path]]) => `${rule}: ${path}`)
      .sort(),
  );
  const tried = [...Object.keys(offences), "reached-by-a-program"];
  expect(tried.sort()).toEqual(rules.forbidden.map(({ name }) => name).sort());
});
