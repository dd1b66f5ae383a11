import { defineConfig } from "vitest/config";

const conditions = ["source"];
const common = { resolve: { conditions }, ssr: { resolve: { conditions } } };

export default defineConfig({
  test: {
    projects: [
      { ...common, test: { name: "unit", include: ["packages/*/src/**/*.test.ts"] } },
      {
        ...common,
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
          globalSetup: ["test/support/images.ts"],
        },
      },
    ],
  },
});
