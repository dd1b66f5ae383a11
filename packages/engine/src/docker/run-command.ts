import { cleanText } from "@decnet/common/runtime/foreign-text";
import { execa } from "execa";
import { ownEnvironment } from "../config/own-environment.ts";

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to what every program gets, which is little: see `ownEnvironment`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onLine?: (line: string) => void;
}

export interface CommandResult {
  readonly exitCode: number | undefined;
  readonly durationMs: number;
  /** Why it ended: by itself, by the deadline, or because the caller gave up. */
  readonly ended: "exit" | "timeout" | "aborted";
  /** The last lines of standard output and error together. */
  readonly tail: readonly string[];
  readonly stdout: string;
}

const tailLines = 40;
const maxLineLength = 2_000;
const maxStdoutBytes = 4 << 20;
const killGraceMs = 3_000;

/**
 * Runs one command without a shell. The whole process group ends with it: SIGTERM first, SIGKILL after a grace period, and the
 * first cause wins. Output is bounded. A non-zero exit is a result, not an exception; only a command that cannot be started
 * throws.
 */
export async function runCommand(file: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const startedAt = performance.now();
  const child = execa(file, args, {
    detached: true,
    reject: false,
    buffer: false,
    stdin: "ignore",
    extendEnv: false,
    env: ownEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let ended: CommandResult["ended"] = "exit";
  let killTimer: NodeJS.Timeout | undefined;
  const end = (cause: "timeout" | "aborted") => {
    if (ended !== "exit") return;
    ended = cause;
    signalGroup(child.pid, "SIGTERM");
    killTimer = setTimeout(() => signalGroup(child.pid, "SIGKILL"), killGraceMs);
  };
  const timer = setTimeout(() => end("timeout"), options.timeoutMs);
  const onAbort = () => end("aborted");
  options.signal.addEventListener("abort", onAbort, { once: true });
  if (options.signal.aborted) onAbort();
  const tail: string[] = [];
  const stdout: string[] = [];
  let stdoutBytes = 0;
  const keep = (line: string) => {
    const text = line.length > maxLineLength ? `${cleanText(line, maxLineLength)}…` : cleanText(line);
    tail.push(text);
    if (tail.length > tailLines) tail.shift();
    options.onLine?.(text);
  };
  try {
    await Promise.all([
      readLines(child.iterable({ from: "stdout" }), (line) => {
        stdoutBytes += line.length + 1;
        if (stdoutBytes <= maxStdoutBytes) stdout.push(line);
        keep(line);
      }),
      readLines(child.iterable({ from: "stderr" }), keep),
    ]);
    const result = await child;
    if (result.exitCode === undefined && ended === "exit" && result.cause !== undefined)
      throw new Error(`cannot run ${file}`, { cause: result.cause });
    return { exitCode: result.exitCode, durationMs: performance.now() - startedAt, ended, tail, stdout: stdout.join("\n") };
  } finally {
    clearTimeout(timer);
    clearTimeout(killTimer);
    options.signal.removeEventListener("abort", onAbort);
  }
}

async function readLines(lines: AsyncIterable<unknown>, onLine: (line: string) => void): Promise<void> {
  try {
    for await (const line of lines) onLine(String(line));
  } catch {
    // The command failed; its result says how.
  }
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
}
