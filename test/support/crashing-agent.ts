import { parseAgentConfig } from "@decnet/agent/config";
import { readIdentity } from "@decnet/agent/identity";
import { startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import { ownCatalog } from "./catalogs.ts";

/** An agent that kills itself with SIGKILL at the n-th step boundary (CRASH_AT), counted over its life. */
const crashAt = Number(process.env["CRASH_AT"] ?? "-1");
let boundaries = 0;
const config = parseAgentConfig(process.env, ownCatalog);
const identity = await readIdentity(config.stateDir);
if (identity === undefined) throw new Error("this host has not joined");
const agent = await startAgent({
  config,
  identity,
  log: createLogger("crashing-agent", "error"),
  version: "test",
  boundary: () => {
    if (boundaries === crashAt) process.kill(process.pid, "SIGKILL");
    boundaries += 1;
  },
});
process.on("SIGTERM", () => void agent.stop().then(() => process.exit(0)));
