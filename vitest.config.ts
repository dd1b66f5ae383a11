import { basename } from "node:path";
import { defaultClientConditions, defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const seconds = 1_000;

/** Set by scripts/test.sh, which has just built: whole programs start in half the time, and what is tested is what is shipped. */
const isBuilt = process.env["TEST_BUILT"] === "1";
const condition = isBuilt ? [] : ["source"];
const builtModules = isBuilt ? { deps: { external: [/\/packages\/[a-z]+\/dist\//] } } : {};

/** They take from four minutes down to one: begun in this order, they leave none to run alone at the end. */
const longOnes = [
  ["hand-changes", "neighbours", "disk", "containment", "settings-in-force", "data-folder", "crashes", "topology-drift"],
  ["swarm-join", "odd-openings", "topology-mutations", "engine-restart", "swarm-crash", "swarm-moves", "swarm-leave"],
  ["masters-database", "topology-routes-worker", "topology-crashes"],
  ["topology-generated", "topology-edits", "masters-hosts", "database-server", "bus-masters", "swarm-false-masters"],
  ["hostile-edges", "swarm-drift", "topology-worker-crashes", "masters", "kills"],
  ["swarm-restart", "swarm-callers", "exits", "swarm-cut", "swarm-neighbours", "hostile-requests", "leaving-hosts", "backup"],
  ["concurrency", "random-accidents", "foreign-engine", "topologies", "lan-places", "at-rest"],
  ["swarm-batch", "swarm-busy", "start-refusals", "failures", "drift", "exhaustion", "restarts", "docs-examples"],
].flat();
const placeOf = ({ moduleId }: TestSpecification): number => {
  const at = longOnes.indexOf(basename(moduleId, ".test.ts"));
  return at < 0 ? longOnes.length : at;
};
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((one, other) => placeOf(one) - placeOf(other));
  }
}

/**
 * A package's exports name its sources under the condition "source": tests run without a build. What a package has for bundlers
 * alone, Node.js cannot load.
 */
const conditionsOf = (usual: readonly string[]) => [...condition, ...usual.filter((name) => name !== "module")];

export default defineConfig({
  resolve: { conditions: conditionsOf(defaultClientConditions) },
  ssr: { resolve: { conditions: conditionsOf(defaultServerConditions) } },
  test: {
    environment: "node",
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts"],
          // They share nothing but modules, which keep nothing: loading them for each file took most of the time.
          isolate: false,
          // A machine that is busy with something else is no fault of theirs.
          testTimeout: 30 * seconds,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "architecture",
          include: ["test/architecture/**/*.test.ts"],
          testTimeout: 60 * seconds,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Needs a Docker engine and PostgreSQL's programs: scripts/setup/all.sh --tests.
        extends: true,
        test: {
          name: "integration",
          server: builtModules,
          // As with unit tests; and code that ran before runs faster.
          isolate: false,
          include: ["test/{conformance,integration,characterisation,contract,interop,faults}/**/*.test.ts"],
          // Test files share nothing but the engine; most of their time is waiting.
          maxWorkers: 6,
          globalSetup: ["test/support/images.ts"],
          testTimeout: 120 * seconds,
          hookTimeout: 180 * seconds,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Whole programs as processes on a real engine.
        extends: true,
        test: {
          name: "e2e",
          server: builtModules,
          isolate: false,
          include: ["test/e2e/**/*.test.ts"],
          maxWorkers: 3,
          globalSetup: ["test/support/images.ts"],
          testTimeout: 300 * seconds,
          hookTimeout: 300 * seconds,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // What deploy/ has, on images that were built from this checkout: npm run test:deploy.
        extends: true,
        test: {
          name: "deploy",
          include: ["test/deploy/**/*.test.ts"],
          globalSetup: ["test/support/images.ts"],
          testTimeout: 300 * seconds,
          hookTimeout: 600 * seconds,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
