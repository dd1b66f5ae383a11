import { parseAgentConfig } from "@decnet/agent/config";
import { readIdentity } from "@decnet/agent/identity";
import { startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import { ownCatalog } from "./catalogs.ts";
import { crashPoint } from "./crash-point.ts";

/** An agent that kills itself where it is told to. */
const config = parseAgentConfig(process.env, ownCatalog);
const identity = await readIdentity(config.stateDir);
if (identity === undefined) throw new Error("this host has not joined");
const agent = await startAgent({
  config,
  identity,
  log: createLogger("crashing-agent", "error"),
  version: "test",
  boundary: crashPoint(process.env),
});
process.on("SIGTERM", () => void agent.stop().then(() => process.exit(0)));
