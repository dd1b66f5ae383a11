import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { ownProgram } from "./programs.ts";
import { eventually } from "./use-master.ts";

type LogLine = Readonly<Record<string, unknown>>;

/** The real program of a daemon as a process of its own. */
export interface Daemon {
  readonly pid: number;
  /** What it logged so far. */
  readonly log: readonly LogLine[];
  /** What it wrote that is no line of its log: a stack of an error that nobody caught, for instance. */
  readonly noise: readonly string[];
  /** Undefined while it runs; a signal counts as -1. */
  exitCode(): number | undefined;
  /** The first line with this message; fails when the daemon ends before. */
  said(message: string, timeoutMs?: number): Promise<LogLine>;
  /** Bytes of memory that it has now. */
  memory(): Promise<number>;
  /** Sends a signal and waits for the end; how many milliseconds that took. */
  stop(signal?: NodeJS.Signals): Promise<number>;
}

const endMs = 60_000;

export function startDaemon(
  name: "master" | "agent",
  args: string[],
  env: Readonly<Record<string, string>>,
  { umask = "022", openFiles }: { readonly umask?: string; readonly openFiles?: number } = {},
): Daemon {
  const node = [process.execPath, ...ownProgram(name), ...args];
  const limit = openFiles === undefined ? "" : `ulimit -n ${openFiles} && `;
  const child: ChildProcess = spawn("sh", ["-c", `umask "$0" && ${limit}exec "$@"`, umask, ...node], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log: LogLine[] = [];
  const noise: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream ?? raise() }).on("line", (line) => {
      if (line.startsWith("{")) log.push(JSON.parse(line) as LogLine);
      else noise.push(line);
    });
  const ended = once(child, "close");
  const exitCode = () => child.exitCode ?? (child.signalCode === null ? undefined : -1);
  return {
    pid: child.pid ?? 0,
    log,
    noise,
    exitCode,
    said: (message, timeoutMs = 60_000) =>
      eventually(async () => {
        const found = log.find((line) => line["msg"] === message);
        if (found === undefined && exitCode() !== undefined)
          throw new Error(`the ${name} ended with ${exitCode()}: ${JSON.stringify(log.at(-1))} ${noise.join("\n")}`);
        return found;
      }, timeoutMs),
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    },
    async stop(signal = "SIGTERM") {
      const since = Date.now();
      if (exitCode() === undefined) child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), endMs);
      await ended;
      clearTimeout(timer);
      return Date.now() - since;
    },
  };
}

function raise(): never {
  throw new Error("no output");
}
