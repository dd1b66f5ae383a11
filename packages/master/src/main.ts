#!/usr/bin/env node
import { fileURLToPath } from "node:url";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { version } from "@decnet/common/version";
import { parseMasterConfig } from "./config.ts";
import { startMaster } from "./start-master.ts";

/** The master daemon. SIGTERM or SIGINT ends it gracefully, a second one at once. */
const ownCatalogue = fileURLToPath(new URL("../../../catalog", import.meta.url));
let log = createLogger("decnet-master", "info");
try {
  const config = parseMasterConfig(process.env, ownCatalogue);
  log = createLogger("decnet-master", config.logLevel);
  const master = await startMaster({ config, log, version });
  if (master.adminToken === "made") log.info("an admin token was made", { file: config.adminTokenFile });
  let signals = 0;
  const stop = () => {
    signals += 1;
    if (signals > 1) process.exit(1);
    master.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error("stopping failed", { err: error });
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
} catch (error) {
  const why = error instanceof AppError ? { reason: error.reason, why: error.message, next: error.next } : { err: error };
  log.error("the master cannot start", why);
  process.exitCode = 1;
}
