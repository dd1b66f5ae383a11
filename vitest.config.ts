import { defaultClientConditions, defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

const seconds = 1_000;

// A package's exports name its sources under the condition "source": tests run without a build.
export default defineConfig({
  resolve: { conditions: ["source", ...defaultClientConditions] },
  ssr: { resolve: { conditions: ["source", ...defaultServerConditions] } },
  test: {
    environment: "node",
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts"],
          // They share nothing but modules, which keep nothing: loading them for each file took most of the time.
          isolate: false,
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
          include: ["test/e2e/**/*.test.ts"],
          maxWorkers: 2,
          globalSetup: ["test/support/images.ts"],
          testTimeout: 300 * seconds,
          hookTimeout: 300 * seconds,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
