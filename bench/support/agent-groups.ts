import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Program, startProgram } from "./programs.ts";

/** Simulated agents, in a process of their own. */
export interface AgentGroup {
  readonly program: Program;
  readonly size: number;
  /** How many of them say that they are connected. */
  readonly connected: number;
}

/** Starts an agent for each join token. `network` names the network namespace that they live in; without it they live in ours. */
export async function startAgentGroup(options: {
  readonly folder: string;
  readonly secrets: readonly string[];
  readonly network?: string;
  /** The program is there; from now on agents join. */
  readonly onBegun?: () => void;
}): Promise<AgentGroup> {
  const { folder, secrets, network, onBegun } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const tokens = join(folder, "tokens");
  await writeFile(tokens, secrets.join("\n"), { mode: 0o600 });
  let connected = 0;
  let isBegun = false;
  const onLine = (line: string) => {
    if (!isBegun) onBegun?.();
    isBegun = true;
    connected = Number(/^connected (\d+)$/.exec(line)?.[1] ?? connected);
  };
  const program = startProgram(
    "bench/support/simulated-agents.ts",
    [folder, tokens],
    {},
    { from: "stdout", onLine },
    { network },
  );
  return {
    program,
    size: secrets.length,
    get connected() {
      return connected;
    },
  };
}
