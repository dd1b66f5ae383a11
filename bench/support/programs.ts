import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

/** A program of the repository in a process of its own. */
export interface Program {
  readonly pid: number;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<void>;
}

const nodeOptions = ["--import", "tsx", "--conditions=source"];

/**
 * `onLine` gets what it writes: stdout, or stderr when told so. The other one goes to ours. It runs in a network namespace
 * when one is named. `flags` are further ones for Node.js.
 */
export function startProgram(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  output: { readonly from: "stdout" | "stderr"; readonly onLine: (line: string) => void },
  { network, flags = [] }: { readonly network?: string | undefined; readonly flags?: readonly string[] } = {},
): Program {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const words = [process.execPath, ...nodeOptions, ...flags, file, ...args];
  const [command = "", ...rest] = network === undefined ? words : ["nsenter", `--net=/run/netns/${network}`, ...words];
  const child: ChildProcess & { stdout: Readable | null; stderr: Readable | null } = spawn(command, rest, {
    env: { ...process.env, ...env },
    stdio: ["ignore", output.from === "stdout" ? "pipe" : "inherit", output.from === "stderr" ? "pipe" : "inherit"],
  });
  const read = output.from === "stdout" ? child.stdout : child.stderr;
  if (read !== null) createInterface({ input: read }).on("line", output.onLine);
  const ended = once(child, "exit");
  return {
    pid: child.pid ?? 0,
    signal: (signal) => void child.kill(signal),
    async end(signal) {
      child.kill(signal);
      await ended;
    },
  };
}
