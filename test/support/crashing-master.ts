import { createLogger } from "@decnet/common/logging/logger";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { ownCatalog } from "./catalogs.ts";

/** A master that kills itself with SIGKILL at the n-th step boundary (CRASH_AT), counted over its life; -1 never. */
const crashAt = Number(process.env["CRASH_AT"] ?? "-1");
let boundaries = 0;
const master = await startMaster({
  config: parseMasterConfig(process.env, ownCatalog),
  log: createLogger("crashing-master", "error"),
  version: "test",
  boundary: () => {
    if (boundaries === crashAt) process.kill(process.pid, "SIGKILL");
    boundaries += 1;
  },
});
process.stdout.write(`${JSON.stringify({ port: master.port })}\n`);
process.on("SIGTERM", () => void master.stop().then(() => process.exit(0)));
