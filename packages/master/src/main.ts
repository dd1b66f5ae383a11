#!/usr/bin/env node
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { startTracing } from "@decnet/common/tracing/start-tracing";
import { version } from "@decnet/common/version";
import { reasons } from "@decnet/contract/reasons";
import { hostSettingsHelp, unknownSettings } from "@decnet/engine/settings";
import { Command, CommanderError } from "commander";
import { registerBackups } from "./backup/commands.ts";
import { parseMasterConfig } from "./config.ts";
import { startMaster } from "./start-master.ts";

/**
 * The master daemon. SIGTERM or SIGINT ends it gracefully, a second one at once.
 *
 * A start that hangs, in an engine or a database that does not answer, is not waited for; the next start takes over what it
 * leaves.
 */
const giveUpMs = 5_000;
// Who may read a file is said where it is made; it does not depend on the shell that this was started from.
process.umask(0o022);
// V8 would let garbage of a large deploy lie until it is several times what is in use: bench/README.md has both figures.
setFlagsFromString("--heap-growing-percent=40");
const ownCatalog = fileURLToPath(new URL("../../../catalog", import.meta.url));
const program = new Command("decnet-master")
  .description("Run the master of a fleet of decoys, until SIGTERM. Its settings come from the environment: see README.md.")
  .version(version)
  .option(
    "--replace-lost-keys",
    "make again, at this start, keys whose files are lost for good; what that costs is in docs/backups.md",
  )
  .allowExcessArguments(false)
  .exitOverride()
  .addHelpText("after", hostSettingsHelp)
  .action(run);
registerBackups(program, process.env, (env) => parseMasterConfig(env, ownCatalog));
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}

async function run({ replaceLostKeys = false }: { replaceLostKeys?: boolean }): Promise<void> {
  let log = createLogger("decnet-master", "info");
  const giveUp = new AbortController();
  let stop = async () => {
    giveUp.abort(new AppError("SHUTTING_DOWN", "the master was told to stop before it had started"));
    setTimeout(() => process.exit(1), giveUpMs).unref();
  };
  let signals = 0;
  const onSignal = () => {
    signals += 1;
    if (signals > 1) process.exit(1);
    stop().catch((error: unknown) => {
      log.error("stopping failed", { err: error });
      process.exit(1);
    });
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  try {
    const config = parseMasterConfig(process.env, ownCatalog);
    log = createLogger("decnet-master", config.logLevel);
    for (const name of unknownSettings(process.env)) log.warn("a setting has no meaning and is ignored", { setting: name });
    const tracing = await startTracing({ service: "decnet-master", version, env: process.env, log });
    const onDisplaced = ({ reason }: AppError) => {
      process.exitCode = reasons[reason].exit;
      onSignal();
    };
    const master = await startMaster({ config, log, version, giveUp: giveUp.signal, replaceLostKeys, onDisplaced });
    stop = async () => {
      await master.stop();
      await tracing.stop();
      process.exit();
    };
    if (signals > 0) await stop();
    if (master.adminToken === "replaced")
      log.warn("the admin token was lost: a new one was made, and the earlier one is revoked", { file: config.adminTokenFile });
    if (master.adminToken === "made") log.info("an admin token was made", { file: config.adminTokenFile });
  } catch (error) {
    if (giveUp.signal.aborted) return process.exit(0);
    const why = error instanceof AppError ? { reason: error.reason, why: error.message, next: error.next } : { err: error };
    log.error("the master cannot start", why);
    process.exit(error instanceof AppError ? reasons[error.reason].exit : 1);
  }
}
