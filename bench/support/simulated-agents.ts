import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { parseAgentConfig } from "@decnet/agent/config";
import { readFacts } from "@decnet/agent/facts";
import type { AgentIdentity } from "@decnet/agent/identity";
import { joinSwarm } from "@decnet/agent/join";
import { type Agent, startAgent } from "@decnet/agent/start-agent";
import { createLogger } from "@decnet/common/logging/logger";
import { runBounded } from "@decnet/common/runtime/run-bounded";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { createMemoryEngine } from "../../test/support/memory-engine.ts";

/**
 * Many agents in one process: each joins with a token of its own, by the real call, and is a real agent then, but for its
 * engine, which only counts. They share what is the same for all of one machine. Usage: simulated-agents.ts FOLDER TOKENS, a
 * file with a token in each line. Prints `connected N` whenever that changes. Ends on SIGTERM.
 */
const [folder = "", tokens = ""] = process.argv.slice(2);
const joining = 8;
const joinAttempts = 10;
const lookMs = 20;
const ownCatalog = fileURLToPath(new URL("../../catalog", import.meta.url));

const log = createLogger("simulated-agents", "error");
const configOf = (stateDir: string) => parseAgentConfig({ DECNET_AGENT_DIR: stateDir, DECNET_AGENT_PORT: "0" }, ownCatalog);
const config = configOf(folder);
const catalog = await loadCatalog(config.catalogFolders);
const facts = await readFacts({ ...config, version: "bench", catalogueDigest: catalog.digest });
const shared = { catalog, facts: () => Promise.resolve({ ...facts, clock: timestampFromDate(new Date()) }) };
const agents: Agent[] = [];
const stopping = new AbortController();
process.once("SIGTERM", () => stopping.abort());
const telling = tellConnected();

const list = (await readFile(tokens, "utf8")).split("\n").filter((token) => token !== "");
await runBounded(list, joining, async (token, index) => {
  const identity = await joinPatiently(token);
  const agent = await startAgent({
    config: configOf(join(folder, `agent-${index}`)),
    identity,
    log,
    version: "bench",
    openHostEngine: ({ instance }) => Promise.resolve(createMemoryEngine({ catalog, instance })),
    shared,
  });
  agents.push(agent);
});
await telling;
await Promise.all(agents.map((agent) => agent.stop()));
process.exit(0);

/** A machine on which everything happens at once may be late with an answer; a token is good for another try. */
async function joinPatiently(token: string): Promise<AgentIdentity> {
  for (let attempt = 1; ; attempt += 1)
    try {
      return await joinSwarm({ token, facts: await shared.facts(), onProgress: () => undefined });
    } catch (error) {
      if (attempt === joinAttempts) throw error;
    }
}

async function tellConnected(): Promise<void> {
  let told = -1;
  while (!stopping.signal.aborted) {
    const count = agents.filter((agent) => agent.isConnected()).length;
    if (count !== told) process.stdout.write(`connected ${count}\n`);
    told = count;
    await delay(lookMs, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
}
