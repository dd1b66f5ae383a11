import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

export interface ProgramOptions {
  readonly cwd?: string;
  /** All that it gets; undefined: what this process has. */
  readonly env?: Readonly<Record<string, string>>;
  /** In a process group of its own. */
  readonly detached?: boolean;
  /** Whether it reads what is written to `stdin`; otherwise it gets no input. */
  readonly takesInput?: boolean;
}

/** A program that runs. */
export interface Program {
  readonly pid: number;
  /** Undefined for one that gets no input. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Once it has ended and its output was read; undefined when a signal ended it. */
  readonly closed: Promise<number | undefined>;
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts a program without a shell. Whatever keeps it from starting is thrown: without descriptors or processes left, Node.js has
 * no streams for a child and tells the reason as an event, which ends this process when nobody hears it.
 */
export async function startProgram(
  file: string,
  args: readonly string[],
  { takesInput = false, ...options }: ProgramOptions = {},
): Promise<Program> {
  const child: ChildProcess = spawn(file, args, { ...options, stdio: [takesInput ? "pipe" : "ignore", "pipe", "pipe"] });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve).once("error", reject);
  }).catch((cause: unknown) => {
    throw new Error(`cannot run ${file}`, { cause });
  });
  const { pid, stdout, stderr } = child;
  const stdin = child.stdin ?? undefined;
  if (pid === undefined || stdout === null || stderr === null) throw new Error(`cannot run ${file}`);
  // A signal that cannot be sent is told in this way, too.
  child.on("error", () => undefined);
  for (const stream of [stdout, stderr, stdin]) stream?.on("error", () => undefined);
  const closed = new Promise<number | undefined>((resolve) => child.once("close", (code) => resolve(code ?? undefined)));
  return { pid, stdin, stdout, stderr, closed, kill: (signal) => void child.kill(signal) };
}

export interface ProgramResult {
  /** Undefined when it could not be started, or a signal ended it. */
  readonly exitCode: number | undefined;
  /** The end of what it wrote. */
  readonly output: string;
}

const mostOutput = 64 << 10;

/** Runs a program to its end. Nothing is thrown: one that cannot be started has no exit code, and its output says why. */
export async function runProgram(
  file: string,
  args: readonly string[],
  { signal, ...options }: ProgramOptions & { readonly signal?: AbortSignal } = {},
): Promise<ProgramResult> {
  let output = "";
  const keep = (text: string) => {
    output = (output + text).slice(-mostOutput);
  };
  try {
    const program = await startProgram(file, args, options);
    for (const stream of [program.stdout, program.stderr]) stream.setEncoding("utf8").on("data", keep);
    const end = () => program.kill("SIGTERM");
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted === true) end();
    const exitCode = await program.closed;
    signal?.removeEventListener("abort", end);
    return { exitCode, output: output.trimEnd() };
  } catch (error) {
    const { cause } = error as Error;
    return { exitCode: undefined, output: cause instanceof Error ? cause.message : String(error) };
  }
}
