import type { ObservedSockets } from "./observed.ts";
import { readProcFile } from "./proc-file.ts";
import { observeSockets } from "./proc-sockets.ts";
import { type ObservedProcess, observeProcess } from "./process.ts";

/**
 * Sockets that were read before. The tables of TCP sockets are expensive: for each of them the kernel walks all sockets that the
 * host may have, which takes milliseconds. The number of sockets that a namespace has in use costs nothing. While these numbers
 * stay the same, the tables are not read again before they are too old.
 */
export interface SocketCache {
  /**
   * Sockets in the network namespace of a process: read now when numbers changed, and else at most `maxAgeMs` old, or older
   * where reading the tables of so many processes that often would take more than a tenth of the time.
   */
  observe(pid: number, maxAgeMs: number): Promise<ObservedSockets>;
  /** Forgets all other processes. */
  retain(pids: ReadonlySet<number>): void;
}

interface Kept {
  readonly process: ObservedProcess | undefined;
  readonly tally: string;
  readonly readAt: number;
  /** Spreads the next readings of what was read at one time. */
  readonly share: number;
  readonly sockets: ObservedSockets;
}

export function createSocketCache(): SocketCache {
  const kept = new Map<number, Kept>();
  /** How long one reading takes: a moving average. */
  let readingMs = 0;
  return {
    async observe(pid, maxAgeMs) {
      const process = await observeProcess(pid);
      // Before the tables: what changes while they are read counts as a change the next time.
      const tally = tallyOf(readProcFile(`/proc/${pid}/net/sockstat`), readProcFile(`/proc/${pid}/net/sockstat6`));
      const before = kept.get(pid);
      const limit = ageLimit(maxAgeMs, kept.size, readingMs);
      const isFresh = before !== undefined && performance.now() - before.readAt < limit * before.share;
      if (isFresh && tally !== "" && tally === before.tally && isSame(process, before.process)) return before.sockets;
      const readAt = performance.now();
      const sockets = await observeSockets(pid);
      readingMs += (performance.now() - readAt - readingMs) / 10;
      kept.set(pid, { process, tally, readAt, share: 0.5 + Math.random() / 2, sockets });
      return sockets;
    },
    retain(pids) {
      for (const pid of kept.keys()) if (!pids.has(pid)) kept.delete(pid);
    },
  };
}

/** How old a reading may be: at least as old as it takes to spend no more than a tenth of the time on readings. */
export function ageLimit(maxAgeMs: number, processes: number, readingMs: number): number {
  return Math.max(maxAgeMs, processes * readingMs * 10);
}

/** How many TCP and UDP sockets are in use; empty when the kernel does not say. */
export function tallyOf(...tables: readonly (string | undefined)[]): string {
  return tables.flatMap((table) => table?.match(/^(TCP|UDP)6?: inuse \d+/gm) ?? []).join(", ");
}

function isSame(left: ObservedProcess | undefined, right: ObservedProcess | undefined): boolean {
  return left !== undefined && left.startTime === right?.startTime && left.netns === right.netns;
}
