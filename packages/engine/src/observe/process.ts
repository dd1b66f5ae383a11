import { notObserved } from "./not-observed.ts";
import { readProcFile, readProcLink } from "./proc-file.ts";

/** Tells one process from every other that has, had or will have its pid. */
export interface ObservedProcess {
  /** In clock ticks since the machine started. */
  readonly startTime: string;
  /** Identity of its network namespace. */
  readonly netns: string;
}

/** The process with this pid, or undefined when there is none that still runs. Throws NOT_OBSERVED. */
export async function observeProcess(pid: number): Promise<ObservedProcess | undefined> {
  if (pid === 0) return undefined;
  const stat = readProcFile(`/proc/${pid}/stat`);
  // A process that has ended and was not waited for has no namespace any more.
  const netns = stat === undefined ? undefined : readProcLink(`/proc/${pid}/ns/net`);
  if (stat === undefined || netns === undefined) return undefined;
  const startTime = startTimeOf(stat);
  if (startTime === undefined) throw notObserved(`/proc/${pid}/stat has no start time`);
  return { startTime, netns };
}

/** Field 22; the second one is a name in parentheses that may hold spaces and parentheses itself. */
export function startTimeOf(stat: string): string | undefined {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
