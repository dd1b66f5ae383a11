import { readlink } from "node:fs/promises";
import { readProcFile } from "./proc-file.ts";

/** Tells one process from every other that has, had or will have its pid. */
export interface ObservedProcess {
  /** In clock ticks since the machine started. */
  readonly startTime: string;
  /** Identity of its network namespace. */
  readonly netns: string;
}

/** The process with this pid, or undefined when there is none that still runs. */
export async function observeProcess(pid: number): Promise<ObservedProcess | undefined> {
  if (pid === 0) return undefined;
  try {
    const startTime = startTimeOf(readProcFile(`/proc/${pid}/stat`) ?? "");
    return startTime === undefined ? undefined : { startTime, netns: await readlink(`/proc/${pid}/ns/net`) };
  } catch {
    // The process ended, perhaps between the two reads: the same as not running.
    return undefined;
  }
}

/** Field 22; the second one is a name in parentheses that may hold spaces and parentheses itself. */
export function startTimeOf(stat: string): string | undefined {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
