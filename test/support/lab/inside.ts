import { type ChildProcessByStdio, spawn } from "node:child_process";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { execa } from "execa";
import type { HostPlan } from "./plan.ts";

/** Arguments of nsenter that turn it into the program, with the same pid, on the host's network and under the host's name. */
export function enter(host: HostPlan, file: string, args: readonly string[]): string[] {
  const rename = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host.name];
  return [`--net=/run/netns/${host.name}`, ...rename, file, ...args];
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Milliseconds; 20 seconds when not given. */
  readonly timeout?: number;
  /** False: a failed program is an answer, not an exception. */
  readonly reject?: boolean;
}

export function runInside(host: HostPlan, file: string, args: readonly string[], options: RunOptions = {}) {
  return execa("nsenter", enter(host, file, args), {
    env: { DOCKER_HOST: `unix://${host.socket}`, ...options.env },
    input: options.input ?? "",
    timeout: options.timeout ?? 20_000,
    reject: options.reject ?? true,
  });
}

export type RunningProgram = ReturnType<typeof runInside>;
export type LongRunningProgram = ChildProcessByStdio<null, Readable, Readable>;

/** Starts a program on the host that outlives this process; what it says goes to the end of a file. Answers its pid. */
export async function startInside(
  host: HostPlan,
  file: string,
  args: readonly string[],
  { env, logFile }: { env: Readonly<Record<string, string | undefined>>; logFile: string },
): Promise<number> {
  const log = await open(logFile, "a");
  const child = spawn("nsenter", enter(host, file, args), {
    env: { ...process.env, ...env },
    stdio: ["ignore", log.fd, log.fd],
    detached: true,
  });
  child.unref();
  await log.close();
  if (child.pid === undefined) throw new Error(`${host.name}: nsenter cannot be started`);
  return child.pid;
}

/** Output that nobody reads is thrown away, so that a full pipe never stops the program. */
export function spawnInside(
  host: HostPlan,
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): LongRunningProgram {
  const child = spawn("nsenter", enter(host, file, args), {
    env: { ...process.env, DOCKER_HOST: `unix://${host.socket}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  child.stdout.resume();
  child.stderr.resume();
  return child;
}
