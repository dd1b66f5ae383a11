import { setImmediate } from "node:timers/promises";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import { observeCgroups, observeMembers } from "./cgroups.ts";
import { absentCodes } from "./not-observed.ts";
import type { PortHolder } from "./observed.ts";
import { listProcFolder, readProcFile, readProcLink } from "./proc-file.ts";

/** A process that has a socket open, and where. */
export interface SocketHolder extends PortHolder {
  readonly descriptor: string;
}

/** A container whose processes are looked through first. */
export interface Candidate {
  readonly id: string;
  /** 0 when it does not run. */
  readonly pid: number;
}

/** Finds who has sockets open. What a search learned of processes outside of the candidates is kept: make one for each check. */
export interface HolderSearch {
  find(inodes: ReadonlySet<string>, candidates: readonly Candidate[]): Promise<Map<string, SocketHolder>>;
}

/** Bounds what a process that opens whatever it can costs a search. */
const maxDescriptors = 16_384;
const maxDescriptorsInAll = 400_000;
/** So many descriptors are looked at before others get their turn. */
const chunk = 2_048;
/** How long what was seen of all processes of the host counts. */
const searchAgainMs = 500;

export function createHolderSearch(): HolderSearch {
  let everybody: { readonly at: number; readonly found: Promise<Map<string, Found>> } | undefined;
  return {
    async find(inodes, candidates) {
      const found = new Map<string, SocketHolder>();
      for (const { id, pid } of candidates) {
        if (found.size === inodes.size) return found;
        const folder = pid === 0 ? undefined : observeCgroups(pid)?.members;
        if (folder === undefined) continue;
        for (const [inode, place] of await lookThrough(observeMembers(folder), absentCodes, (each) => inodes.has(each)))
          if (!found.has(inode)) found.set(inode, describe(place, id));
      }
      if (found.size === inodes.size) return found;
      // Somebody from elsewhere: a process of the host or of a container that is not this decky's entered the namespace.
      if (everybody === undefined || performance.now() - everybody.at > searchAgainMs)
        everybody = { at: performance.now(), found: lookThrough(allProcesses(), hiddenCodes, () => true) };
      for (const [inode, place] of await everybody.found)
        if (inodes.has(inode) && !found.has(inode)) found.set(inode, describe(place, containerOf(place.pid)));
      return found;
    },
  };
}

/** Whether it still has the socket: one look instead of a search. */
export function stillHolds({ pid, descriptor }: SocketHolder, inode: string): boolean {
  return readProcLink(`/proc/${pid}/fd/${descriptor}`) === `socket:[${inode}]`;
}

interface Found {
  readonly pid: number;
  readonly descriptor: string;
}

/** Some processes of a host may show their descriptors to nobody: who is not found then cannot be seen. */
const hiddenCodes: ReadonlySet<string> = new Set([...absentCodes, "EACCES", "EPERM"]);

async function lookThrough(
  pids: readonly number[],
  absent: ReadonlySet<string>,
  isWanted: (inode: string) => boolean,
): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  let looked = 0;
  for (const pid of pids) {
    for (const descriptor of (listProcFolder(`/proc/${pid}/fd`, absent) ?? []).slice(0, maxDescriptors)) {
      looked += 1;
      if (looked > maxDescriptorsInAll) return found;
      if (looked % chunk === 0) await setImmediate();
      const target = readProcLink(`/proc/${pid}/fd/${descriptor}`, absent);
      const inode = target?.startsWith("socket:[") === true ? target.slice("socket:[".length, -1) : undefined;
      if (inode !== undefined && isWanted(inode) && !found.has(inode)) found.set(inode, { pid, descriptor });
    }
  }
  return found;
}

function allProcesses(): number[] {
  return (listProcFolder("/proc") ?? []).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** The command is what the process calls itself: foreign text. */
function describe({ pid, descriptor }: Found, container: string): SocketHolder {
  return { pid, descriptor, command: cleanText((readProcFile(`/proc/${pid}/comm`) ?? "").trim(), 32), container };
}

/** Engines name the group of a container after its id, in whatever form. */
function containerOf(pid: number): string {
  return readProcFile(`/proc/${pid}/cgroup`)?.match(/[0-9a-f]{64}/)?.[0] ?? "";
}
