#!/usr/bin/env node
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { readCertificate } from "@decnet/common/pki/certificates";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { lockFolder } from "@decnet/common/runtime/folder-lock";
import { startTracing } from "@decnet/common/tracing/start-tracing";
import { version } from "@decnet/common/version";
import { reasons } from "@decnet/contract/reasons";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { hostSettingsHelp, unknownSettings } from "@decnet/engine/settings";
import { Command, CommanderError } from "commander";
import { z } from "zod";
import { type AgentConfig, parseAgentConfig } from "./config.ts";
import { readFacts } from "./facts.ts";
import { makeFingerprintKey, openFingerprint } from "./fingerprint.ts";
import { readIdentity, removeIdentity, writeIdentity } from "./identity.ts";
import { joinSwarm } from "./join.ts";
import { leaveHost } from "./leave.ts";
import { startAgent } from "./start-agent.ts";

/** `decnet agent`: a worker joins, runs, is asked, and leaves. Settings come from the environment, see docs/swarm.md. */
const ownCatalog = fileURLToPath(new URL("../../../catalog", import.meta.url));
const say = (line: string) => void process.stderr.write(`${line}\n`);

const statusSchema = z.object({ connected: z.boolean(), message: z.string() });

/** In the state folder, besides the identity: what an agent leaves nothing of. */
const brought = [
  "specs",
  "reports",
  "deckies",
  "docker",
  "made",
  "drift-policy",
  "built-images.json",
  "guards.json",
  "left-networks.json",
  "fingerprint.key",
];

// Who may read a file is said where it is made; it does not depend on the shell that this was started from.
process.umask(0o022);
const program = new Command("decnet agent").description("The agent of a worker host.").version(version).exitOverride();

program
  .command("join <token>")
  .description(
    "Make this machine a worker of the master that the token names. Root; needs outbound TCP to the master, no open port.",
  )
  .option("--again", "join although this machine has an identity already: it is replaced")
  .option("--run", "go on as `decnet agent run` when the machine has joined")
  .action(async (token: string, flags: { again?: boolean; run?: boolean }) => {
    const config = parseAgentConfig(process.env, ownCatalog);
    const present = flags.again === true ? undefined : await readIdentity(config.stateDir);
    if (present !== undefined)
      throw new AppError("HOST_EXISTS", `this machine is the worker ${present.hostName} already (${config.stateDir})`, {
        metadata: { host: present.hostName },
      });
    const hostName = await withStateDir(config, async () => {
      const facts = await factsOf(config);
      if (facts.engineProblem !== "") throw new AppError("ENGINE_UNUSABLE", facts.engineProblem);
      say(`ok    docker ${facts.engineVersion}, compose ${facts.composeVersion}`);
      const identity = await joinSwarm({ token, facts, onProgress: (what) => say(`ok    ${what}`) });
      // This is the way out for a worker that lost its keys.
      await openFingerprint(config.stateDir, undefined).catch(() => makeFingerprintKey(config.stateDir));
      await writeIdentity(config.stateDir, identity);
      say(`ok    certificate until ${readCertificate(identity.certificate).notAfter.toISOString()}, in ${config.stateDir}`);
      return identity.hostName;
    });
    if (flags.run === true) return run(config);
    say(`${hostName} has joined. Start it: decnet agent run   (or: systemctl enable --now decnet-agent)`);
  });

program
  .command("run")
  .description("Run the agent: connect to the master, keep this host's deckies as they should be.")
  .addHelpText("after", hostSettingsHelp)
  .action(() => run(parseAgentConfig(process.env, ownCatalog)));

program
  .command("status")
  .description("What this worker is, and whether its agent is connected.")
  .option("--json", "one JSON document")
  .action(async (flags: { json?: boolean }) => {
    const config = parseAgentConfig(process.env, ownCatalog);
    const identity = await readIdentity(config.stateDir);
    if (identity === undefined) throw new AppError("NOT_JOINED", `this machine has not joined (${config.stateDir})`);
    const running = await askRunning(config);
    const until = readCertificate(identity.certificate).notAfter.toISOString();
    const shown = {
      host: identity.hostName,
      hostId: identity.hostId,
      masters: identity.masters,
      certificateUntil: until,
      running: running !== undefined,
      connected: running?.connected ?? false,
      message: running?.message ?? "the agent does not run: decnet agent run",
    };
    if (flags.json === true) process.stdout.write(`${JSON.stringify(shown, null, 1)}\n`);
    else
      process.stdout.write(
        `${shown.host}  ${shown.connected ? "connected" : "not connected"}: ${shown.message}\ncertificate until ${until}\n`,
      );
    process.exitCode = shown.connected ? 0 : 6;
  });

program
  .command("leave")
  .description("Remove this host's deckies and forget the master. Say it to the master too: decnet host decommission.")
  .option("-y, --yes", "do not ask")
  .action(async (flags: { yes?: boolean }) => {
    const config = parseAgentConfig(process.env, ownCatalog);
    const identity = await readIdentity(config.stateDir);
    if (identity === undefined) throw new AppError("NOT_JOINED", `this machine has not joined (${config.stateDir})`);
    if (flags.yes !== true)
      throw new AppError(
        "REQUEST_INVALID",
        `this removes every decky of ${identity.hostName} from this machine; add -y to do so`,
      );
    await withStateDir(config, async () => {
      await leaveHost(config, identity, (what) => say(`ok    ${what}`));
      await removeIdentity(config.stateDir);
      for (const name of brought) await rm(join(config.stateDir, name), { recursive: true, force: true });
    });
    say(`${identity.hostName} has left. On the master: decnet host decommission ${identity.hostName} --force`);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** What the agent that runs here says; undefined when none does. */
async function askRunning({ port }: AgentConfig): Promise<{ connected: boolean; message: string } | undefined> {
  return fetch(`http://127.0.0.1:${port}/status`, { signal: AbortSignal.timeout(3_000) }).then(
    async (response) => statusSchema.parse(await response.json()),
    () => undefined,
  );
}

/** Not while an agent runs: it has its identity and its deckies in memory, and would put them back. */
async function withStateDir<T>({ stateDir }: AgentConfig, work: () => Promise<T>): Promise<T> {
  const lock = await lockFolder(stateDir, "decnet agent", 0o700);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

async function factsOf(config: AgentConfig) {
  const catalog = await loadCatalog(config.catalogFolders);
  return readFacts({ ...config, version, catalogueDigest: catalog.digest });
}

async function run(config: AgentConfig): Promise<void> {
  const identity = await readIdentity(config.stateDir);
  if (identity === undefined) throw new AppError("NOT_JOINED", `this machine has not joined (${config.stateDir})`);
  const log = createLogger("decnet-agent", config.logLevel);
  for (const name of unknownSettings(process.env)) log.warn("a setting has no meaning and is ignored", { setting: name });
  const tracing = await startTracing({ service: "decnet-agent", version, env: process.env, log });
  const agent = await startAgent({ config, identity, log, version });
  let signals = 0;
  const stop = () => {
    signals += 1;
    if (signals > 1) process.exit(1);
    agent
      .stop()
      .then(tracing.stop)
      .then(
        () => process.exit(0),
        () => process.exit(1),
      );
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const failure =
    error instanceof AppError ? { reason: error.reason, message: error.message, next: error.next } : fromConnectError(error);
  say(`error: ${failure.reason}  ${failure.message}`);
  for (const next of failure.next) say(` next:  ${next}`);
  return reasons[failure.reason].exit;
}
