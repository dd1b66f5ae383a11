import { observeCgroups } from "./cgroups.ts";
import type { Exhaustion, ObservedContainer } from "./observed.ts";
import { readProcFile } from "./proc-file.ts";

/** What the kernel has counted since the container was started; undefined: it does not count that. */
export interface LimitCounts {
  readonly processes: { readonly inUse: number; readonly most: number; readonly refused: number } | undefined;
  readonly memory: { readonly killed: number; readonly failed: number } | undefined;
}

/** Tells which containers have used up a limit. The kernel only counts, so what it counted before is remembered here. */
export interface ExhaustionWatch {
  /** Throws NOT_OBSERVED. */
  observe(container: ObservedContainer): Exhaustion | undefined;
  /** Forgets all other containers. */
  retain(ids: ReadonlySet<string>): void;
}

interface Watched {
  /** One run of a container has one group, whose counts begin at zero. */
  readonly pid: number;
  readonly read: () => LimitCounts;
  readonly state: ExhaustionState;
}

export function createExhaustionWatch(): ExhaustionWatch {
  const began = Date.now();
  const watched = new Map<string, Watched>();
  const begin = ({ pid, startedAt }: ObservedContainer): Watched => {
    const read = countsReader(pid);
    // What happened to a container that is older than this program happened at some time, and nobody knows when.
    const baseline = Date.parse(startedAt) >= began ? noCounts : read();
    return { pid, read, state: { counts: baseline, since: undefined, roseAt: undefined, gained: noGain } };
  };
  return {
    observe(container) {
      if (container.pid === 0) return undefined;
      const before = watched.get(container.id);
      const { pid, read, state } = before?.pid === container.pid ? before : begin(container);
      const next = advance(state, read(), Date.now());
      watched.set(container.id, { pid, read, state: next });
      return exhaustionOf(next);
    },
    retain(ids) {
      for (const id of watched.keys()) if (!ids.has(id)) watched.delete(id);
    },
  };
}

interface Gain {
  readonly refused: number;
  readonly killed: number;
  readonly failed: number;
}

export interface ExhaustionState {
  readonly counts: LimitCounts;
  /** When it began to be exhausted. */
  readonly since: number | undefined;
  readonly roseAt: number | undefined;
  /** Counted since it began. */
  readonly gained: Gain;
}

export const noCounts: LimitCounts = { processes: undefined, memory: undefined };
export const noGain: Gain = { refused: 0, killed: 0, failed: 0 };

/** For so long after the kernel counted something the limit counts as used up: what does it tries again from time to time. */
const recentMs = 10_000;

/** Pure. Only what was counted since the last observation says that a limit is used up now, or that nothing of it is left. */
export function advance(before: ExhaustionState, counts: LimitCounts, now: number): ExhaustionState {
  const gain: Gain = {
    refused: (counts.processes?.refused ?? 0) - (before.counts.processes?.refused ?? 0),
    killed: (counts.memory?.killed ?? 0) - (before.counts.memory?.killed ?? 0),
    failed: (counts.memory?.failed ?? 0) - (before.counts.memory?.failed ?? 0),
  };
  const isFull = counts.processes !== undefined && counts.processes.inUse >= counts.processes.most;
  const rose = gain.refused > 0 || gain.killed > 0 || gain.failed > 0;
  const roseAt = rose ? now : before.roseAt;
  if (!isFull && (roseAt === undefined || now - roseAt > recentMs))
    return { counts, since: undefined, roseAt: undefined, gained: noGain };
  const gained: Gain = {
    refused: before.gained.refused + gain.refused,
    killed: before.gained.killed + gain.killed,
    failed: before.gained.failed + gain.failed,
  };
  return { counts, since: before.since ?? now, roseAt, gained };
}

export function exhaustionOf({ counts, since, gained }: ExhaustionState): Exhaustion | undefined {
  if (since === undefined) return undefined;
  const { refused, killed, failed } = gained;
  const isMemory = killed > 0 || failed > 0;
  const most = refused > 0 || !isMemory ? counts.processes?.most : undefined;
  const more = counted(refused, "more were refused", "more was refused");
  const kills = counted(killed, "processes were killed for it", "process was killed for it");
  const parts = [
    ...(most === undefined ? [] : [`all ${most} processes that it may have are in use${more}`]),
    ...(isMemory ? [`all memory that it may have is in use${kills}`] : []),
  ];
  return { sentence: parts.join("; "), since };
}

function counted(count: number, many: string, one: string): string {
  return count === 0 ? "" : `, and ${roughly(count)} ${count === 1 ? one : many}`;
}

/** `over 500`: a count that rises with each look would make news of each look. */
export function roughly(count: number): string {
  if (count < 10) return String(count);
  const ten = 10 ** Math.floor(Math.log10(count));
  const step = [5, 2, 1].find((each) => each * ten <= count) ?? 1;
  return `${step * ten === count ? "" : "over "}${step * ten}`;
}

function countsReader(pid: number): () => LimitCounts {
  const { pids, memory } = observeCgroups(pid) ?? { pids: undefined, memory: undefined };
  const readMost = () => (pids === undefined ? undefined : parseCount(readProcFile(`${pids}/pids.max`)));
  let most = readMost();
  const memoryFile = memory === undefined ? "" : `${memory.folder}/memory.${memory.version === 1 ? "oom_control" : "events"}`;
  const countProcesses = (): LimitCounts["processes"] => {
    const inUse = most === undefined ? 0 : (parseCount(readProcFile(`${pids}/pids.current`)) ?? 0);
    // It seldom changes, and matters only here.
    if (most !== undefined && inUse >= most) most = readMost();
    if (most === undefined) return undefined;
    return { inUse, most, refused: parseKeyed(readProcFile(`${pids}/pids.events`)).get("max") ?? 0 };
  };
  return () => ({
    processes: countProcesses(),
    memory: memoryFile === "" ? undefined : memoryCounts(parseKeyed(readProcFile(memoryFile))),
  });
}

/**
 * Version 1 counts only kills; `oom` of version 2 also counts what failed without one. That the limit was reached (`max`) means
 * nothing yet: files that were read fill a group's memory, and give it back.
 */
function memoryCounts(counts: ReadonlyMap<string, number>): LimitCounts["memory"] {
  return { killed: counts.get("oom_kill") ?? 0, failed: counts.get("oom") ?? 0 };
}

/** Undefined for `max`, and where there is no such file. */
function parseCount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

/** Lines of a word and a number. */
export function parseKeyed(text: string | undefined): Map<string, number> {
  const lines = (text ?? "").split("\n").map((line) => line.split(" "));
  return new Map(lines.flatMap(([key = "", value = ""]) => (/^\d+$/.test(value) ? [[key, Number(value)] as const] : [])));
}
