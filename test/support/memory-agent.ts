import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseAgentConfig } from "@decnet/agent/config";
import { readIdentity } from "@decnet/agent/identity";
import { startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { factsOf } from "./agent-facts.ts";
import { ownCatalog } from "./catalogs.ts";
import { keepContainers } from "./kept-containers.ts";
import { createMemoryEngine } from "./memory-engine.ts";

/** An agent in a process of its own, whose engine keeps its containers in a folder and needs up to STEP_MS for a step. */
const stepMs = Number(process.env["STEP_MS"] ?? "0");
const config = parseAgentConfig(process.env, ownCatalog);
const catalog = await loadCatalog(config.catalogFolders);
const identity = await readIdentity(config.stateDir);
if (identity === undefined) throw new Error("this host has not joined");
const agent = await startAgent({
  config,
  identity,
  log: createLogger("memory-agent", "error"),
  version: "test",
  shared: { catalog, facts: async () => factsOf(identity.hostName, catalog.digest) },
  openHostEngine: async ({ instance }) =>
    createMemoryEngine({
      catalog,
      instance,
      kept: keepContainers(join(config.stateDir, "containers")),
      hooks: {
        beforeStep: async () => {
          await delay(Math.random() * stepMs);
          return undefined;
        },
      },
    }),
});
process.stdout.write(`${JSON.stringify({ port: agent.port })}\n`);
process.on("SIGTERM", () => void agent.stop().then(() => process.exit(0)));
