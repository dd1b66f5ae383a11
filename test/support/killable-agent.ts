import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeIdentity } from "@decnet/agent/identity";
import { joinSwarm } from "@decnet/agent/join";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { factsOf } from "./agent-facts.ts";
import { ownCatalog } from "./catalogs.ts";
import type { KillableMaster } from "./killable-master.ts";
import { testProgram } from "./programs.ts";

export interface KillableAgent {
  readonly name: string;
  /** What the agents had to say. */
  readonly log: string;
  /** Ends the agent without a word and starts another one in its place. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** A worker that joins a killable master: its agent is a process of its own, its containers outlive it. */
export async function startKillableAgent(
  master: KillableMaster,
  { name, stateDir, env }: { readonly name: string; readonly stateDir: string; readonly env: Readonly<Record<string, string>> },
): Promise<KillableAgent> {
  const catalog = await loadCatalog([ownCatalog]);
  const { secret } = await master.clients.swarm.createJoinToken({ hostName: name });
  const facts = factsOf(name, catalog.digest);
  await writeIdentity(stateDir, await joinSwarm({ token: secret, facts, onProgress: () => undefined }));
  let child: ChildProcess;
  let log = "";
  const start = async () => {
    child = spawn(process.execPath, testProgram("memory-agent.ts"), {
      env: { ...process.env, DECNET_AGENT_DIR: stateDir, DECNET_AGENT_PORT: "0", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      log += chunk.toString();
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once("data", () => resolve());
      child.once("exit", () => reject(new Error(`the agent ended before it was there: ${log.slice(-2_000)}`)));
    });
  };
  const end = async (signal: NodeJS.Signals) => {
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  };
  await start();
  return {
    name,
    get log() {
      return log;
    },
    async kill() {
      await end("SIGKILL");
      await start();
    },
    stop: () => end("SIGTERM"),
  };
}
