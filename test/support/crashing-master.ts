import { once } from "node:events";
import { createLogger } from "@decnet/common/logging/logger";
import { parseMasterConfig } from "@decnet/master/config";
import { startMaster } from "@decnet/master/start-master";
import { ownCatalog } from "./catalogs.ts";
import { crashingLog, crashPoint } from "./crash-point.ts";

/** A master that kills itself where it is told to. With WARM it has loaded everything, and waits to be told so on its input. */
const told = process.env["WARM"] === undefined ? {} : JSON.parse(String((await once(process.stdin, "data"))[0]));
const env: NodeJS.ProcessEnv = { ...process.env, ...told };
const master = await startMaster({
  config: parseMasterConfig(env, ownCatalog),
  log: crashingLog(createLogger("crashing-master", "error"), env),
  version: "test",
  boundary: crashPoint(env),
});
process.stdout.write(`${JSON.stringify({ port: master.port })}\n`);
process.on("SIGTERM", () => void master.stop().then(() => process.exit(0)));
