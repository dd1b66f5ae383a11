import { setTimeout as delay } from "node:timers/promises";
import { createLogger } from "@decnet/common/logging/logger";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { ownCatalog } from "./catalogs.ts";
import { createMemoryEngine } from "./memory-engine.ts";

/** A master in a process of its own, whose engine keeps its containers in memory and needs up to STEP_MS for a step. */
const stepMs = Number(process.env["STEP_MS"] ?? "0");
const master = await startMaster({
  config: parseMasterConfig(process.env, ownCatalog),
  log: createLogger("memory-master", "warn"),
  version: "test",
  openHostEngine: async ({ catalog, instance }) =>
    createMemoryEngine({
      catalog,
      instance,
      hooks: {
        beforeStep: async () => {
          await delay(Math.random() * stepMs);
          return undefined;
        },
      },
    }),
});
process.stdout.write(`${JSON.stringify({ port: master.port })}\n`);
process.on("SIGTERM", () => void master.stop().then(() => process.exit(0)));
