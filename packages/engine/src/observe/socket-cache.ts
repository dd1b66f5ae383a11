import type { ObservedSockets, PortUse } from "./observed.ts";
import type { HolderSearch } from "./port-holders.ts";
import { type Candidate, type SocketHolder, stillHolds } from "./port-holders.ts";
import { readProcFile, readProcLink } from "./proc-file.ts";
import { type Listener, readSocketTables } from "./proc-sockets.ts";
import { type ObservedProcess, observeProcess } from "./process.ts";

/** The network namespace of a process, and the containers that share it. */
export interface SocketPlace {
  readonly pid: number;
  readonly containers: readonly Candidate[];
}

/**
 * Sockets that were read before. The tables of TCP sockets are expensive: for each of them the kernel walks all sockets that the
 * host may have, which takes milliseconds. The number of sockets that a namespace has in use costs nothing. While these numbers
 * stay the same, the tables are not read again before they are too old. Who has a socket open is searched once for each socket.
 */
export interface SocketCache {
  /**
   * Sockets in the network namespace of a process: read now when numbers changed, and else at most `maxAgeMs` old, or older
   * where reading the tables of so many processes that often would take more than a tenth of the time. Undefined when the process
   * has ended. Throws NOT_OBSERVED.
   */
  observe(place: SocketPlace, maxAgeMs: number, search: HolderSearch): Promise<ObservedSockets | undefined>;
  /** Forgets all other processes. */
  retain(pids: ReadonlySet<number>): void;
}

interface Kept {
  readonly process: ObservedProcess;
  /** Which processes the containers run as. */
  readonly containers: string;
  readonly tally: string;
  readonly readAt: number;
  /** Spreads the next readings of what was read at one time. */
  readonly share: number;
  readonly sockets: ObservedSockets;
  readonly holders: ReadonlyMap<string, SocketHolder>;
}

/** `ports` (`22/tcp`): whose holders are wanted. */
export function createSocketCache(ports: ReadonlySet<string>): SocketCache {
  const kept = new Map<number, Kept>();
  /** How long one reading takes: a moving average. */
  let readingMs = 0;
  return {
    async observe({ pid, containers: candidates }, maxAgeMs, search) {
      const process = await observeProcess(pid);
      if (process === undefined) return undefined;
      // Before the tables: what changes while they are read counts as a change the next time.
      const tally = tallyOf(readProcFile(`/proc/${pid}/net/sockstat`), readProcFile(`/proc/${pid}/net/sockstat6`));
      const containers = candidates.map((each) => `${each.id} ${each.pid}`).join();
      const earlier = kept.get(pid);
      const before = earlier !== undefined && isSame(process, earlier.process) ? earlier : undefined;
      const limit = ageLimit(maxAgeMs, kept.size, readingMs);
      const isFresh = before !== undefined && performance.now() - before.readAt < limit * before.share;
      if (isFresh && tally !== "" && tally === before.tally && containers === before.containers) return before.sockets;
      const readAt = performance.now();
      const known = before?.containers === containers ? before.holders : new Map<string, SocketHolder>();
      const read = await readSockets(pid, ports, known, (inodes) => search.find(inodes, candidates));
      // The pid may be another process by now, in another namespace.
      if (read === undefined || readProcLink(`/proc/${pid}/ns/net`) !== process.netns) return undefined;
      readingMs += (performance.now() - readAt - readingMs) / 10;
      kept.set(pid, { process, containers, tally, readAt, share: 0.5 + Math.random() / 2, ...read });
      return read.sockets;
    },
    retain(pids) {
      for (const pid of kept.keys()) if (!pids.has(pid)) kept.delete(pid);
    },
  };
}

/** A socket whose holder is not found may have been closed meanwhile, or have been on its way from one process to another. */
const searches = 3;

async function readSockets(
  pid: number,
  ports: ReadonlySet<string>,
  known: ReadonlyMap<string, SocketHolder>,
  find: (inodes: ReadonlySet<string>) => Promise<Map<string, SocketHolder>>,
): Promise<Pick<Kept, "sockets" | "holders"> | undefined> {
  const holders = new Map<string, SocketHolder>();
  for (let search = 1; ; search += 1) {
    const tables = await readSocketTables(pid);
    if (tables === undefined) return undefined;
    const wanted = tables.listeners.filter(({ port }) => ports.has(port));
    for (const { inode } of wanted) {
      const holder = known.get(inode);
      if (holder !== undefined && stillHolds(holder, inode)) holders.set(inode, holder);
    }
    const unknown = new Set(wanted.map(({ inode }) => inode).filter((inode) => !holders.has(inode)));
    if (unknown.size > 0) for (const [inode, holder] of await find(unknown)) holders.set(inode, holder);
    if (search < searches && wanted.some(({ inode }) => !holders.has(inode))) continue;
    const listening = new Set(tables.listeners.map(({ port }) => port));
    return { sockets: { listening, uses: usesOf(wanted, holders), sessions: tables.sessions }, holders };
  }
}

function usesOf(listeners: readonly Listener[], holders: ReadonlyMap<string, SocketHolder>): PortUse[] {
  return listeners.map(({ port, isLocal, inode }) => {
    const holder = holders.get(inode);
    if (holder === undefined) return { port, isLocal, holder };
    const { pid, command, container } = holder;
    return { port, isLocal, holder: { pid, command, container } };
  });
}

/** How old a reading may be: at least as old as it takes to spend no more than a tenth of the time on readings. */
export function ageLimit(maxAgeMs: number, processes: number, readingMs: number): number {
  return Math.max(maxAgeMs, processes * readingMs * 10);
}

/** How many TCP and UDP sockets are in use; empty when the kernel does not say. */
export function tallyOf(...tables: readonly (string | undefined)[]): string {
  return tables.flatMap((table) => table?.match(/^(TCP|UDP)6?: inuse \d+/gm) ?? []).join(", ");
}

function isSame(left: ObservedProcess, right: ObservedProcess): boolean {
  return left.startTime === right.startTime && left.netns === right.netns;
}
