import { basename } from "node:path";
import type { Readable } from "node:stream";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import { startProgram } from "@decnet/common/runtime/start-program";
import { inSpan, noteInSpan } from "@decnet/common/tracing/spans";
import { ownEnvironment } from "../config/own-environment.ts";

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to what every program gets, which is little: see `ownEnvironment`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onLine?: (line: string) => void;
  /** The kernel ends it when this process ends, however that ends. Where util-linux is missing it may go on. */
  readonly endsWithUs?: boolean;
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
export function runCommand(file: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const attributes = { "process.command_args": [file, ...args] };
  return inSpan(`run ${basename(file)}`, { attributes }, async () => {
    const result = await run(file, args, options);
    noteInSpan({ "process.exit_code": result.exitCode ?? -1, "decnet.ended": result.ended });
    return result;
  });
}

async function run(file: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const startedAt = performance.now();
  const settings = {
    detached: true,
    env: ownEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  };
  const start = () => startProgram(file, args, settings);
  const child =
    options.endsWithUs === true
      ? await startProgram("setpriv", ["--pdeathsig", "KILL", "--", file, ...args], settings).catch(start)
      : await start();
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
    readLines(child.stdout, (line) => {
      stdoutBytes += line.length + 1;
      if (stdoutBytes <= maxStdoutBytes) stdout.push(line);
      keep(line);
    });
    readLines(child.stderr, keep);
    const exitCode = await child.closed;
    return { exitCode, durationMs: performance.now() - startedAt, ended, tail, stdout: stdout.join("\n") };
  } finally {
    clearTimeout(timer);
    clearTimeout(killTimer);
    options.signal.removeEventListener("abort", onAbort);
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, maxStdoutBytes);
    for (const line of lines) onLine(line.replace(/\r$/, ""));
  });
  stream.once("end", () => {
    if (rest !== "") onLine(rest);
  });
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
}
