import type { Dirent } from "node:fs";
import { statSync } from "node:fs";
import { lstat, opendir, statfs } from "node:fs/promises";
import { observeCgroups, observeMembers } from "./cgroups.ts";
import { absentCodes, codeOf, unlessAbsent } from "./not-observed.ts";
import { mostFiles, type ObservedContainer, type PlaceUse, type WritablePlace } from "./observed.ts";
import { listProcFolder, readProcLink } from "./proc-file.ts";

/**
 * Tells how much of the host's disk is taken by what a container writes. Measured in the background, one container after the
 * other, and only now and then: what is told is what the last measurement found.
 */
export interface DiskWatch {
  /** Undefined: not measured yet, or it cannot be. */
  observe(container: ObservedContainer): readonly PlaceUse[] | undefined;
  /** Forgets all other containers. */
  retain(ids: ReadonlySet<string>): void;
}

/** How old a measurement may become while the host's disk does not fill. */
const calmMs = 60_000;
/** While it fills, and nobody knows who fills it. */
const alarmMs = 2_000;
/** By so much less free disk than at the last measurement it fills, or by so many files. */
const alarmBytes = 8 << 20;
const alarmFiles = 4_000;
/** Measuring takes no more than this part of the time. */
const share = 0.2;
/** So many files are looked at side by side. */
const batchSize = 64;
/** How many descriptors of a container are looked at for files that were deleted and are still open. */
const mostDescriptors = 16_384;

interface Measured {
  readonly pid: number;
  readonly use: readonly PlaceUse[] | undefined;
  readonly at: number;
  readonly tookMs: number;
  readonly free: Free;
}

interface Free {
  readonly bytes: number;
  readonly files: number;
}

export function createDiskWatch(now: () => number = () => performance.now()): DiskWatch {
  const measured = new Map<string, Measured>();
  const waiting = new Set<string>();
  let last: Promise<void> = Promise.resolve();
  const free = createFreeGauge(now);
  const isDue = ({ id, pid }: ObservedContainer, folder: string): boolean => {
    const before = measured.get(id);
    if (before === undefined || before.pid !== pid) return true;
    const age = now() - before.at;
    const current = free(folder);
    // What others free meanwhile hides nothing: what is compared is the most that was ever free since.
    measured.set(id, { ...before, free: most(before.free, current) });
    if (age < before.tookMs / share) return false;
    return age > calmMs || (age > alarmMs && isFilling(before.free, current));
  };
  const measure = async (container: ObservedContainer, places: readonly WritablePlace[]) => {
    const began = now();
    const use = await measurePlaces(container, places);
    if (!waiting.delete(container.id)) return;
    const folder = places[0]?.folder ?? "";
    measured.set(container.id, { pid: container.pid, use, at: now(), tookMs: now() - began, free: free(folder) });
  };
  return {
    observe(container) {
      const { id } = container;
      const writable = placesOf(container, measured.get(id)?.use);
      const [first] = writable;
      if (first === undefined || container.role === "base") return undefined;
      if (!waiting.has(id) && isDue(container, first.folder)) {
        waiting.add(id);
        last = last.then(() => measure(container, writable)).catch(() => void waiting.delete(id));
      }
      return measured.get(id)?.use;
    },
    retain(ids) {
      for (const id of measured.keys()) if (!ids.has(id)) measured.delete(id);
      for (const id of waiting) if (!ids.has(id)) waiting.delete(id);
    },
  };
}

/** A container that does not run may not tell where its layer is: it is where it was. */
function placesOf(
  { writable = [], pid }: Pick<ObservedContainer, "writable" | "pid">,
  before: readonly PlaceUse[] | undefined,
): readonly WritablePlace[] {
  const layer = pid === 0 ? before?.find(({ kind }) => kind === "layer") : undefined;
  return layer === undefined || writable.some(({ kind }) => kind === "layer") ? writable : [layer, ...writable];
}

function most(one: Free, other: Free): Free {
  return { bytes: Math.max(one.bytes, other.bytes), files: Math.max(one.files, other.files) };
}

function isFilling(before: Free, now: Free): boolean {
  return now.bytes < before.bytes - alarmBytes || now.files < before.files - alarmFiles;
}

/** What is free on a file system, as it was at most a second ago. */
function createFreeGauge(now: () => number): (folder: string) => Free {
  let free: Free = { bytes: Number.POSITIVE_INFINITY, files: Number.POSITIVE_INFINITY };
  let at = Number.NEGATIVE_INFINITY;
  return (folder) => {
    if (now() - at > 1_000) {
      at = now();
      void statfs(folder).then(
        ({ bavail, bsize, ffree }) => {
          free = { bytes: bavail * bsize, files: ffree };
        },
        () => undefined,
      );
    }
    return free;
  };
}

/** Undefined when a place cannot be looked at: what is in there is not known then. */
async function measurePlaces(container: ObservedContainer, places: readonly WritablePlace[]): Promise<PlaceUse[] | undefined> {
  const found: PlaceUse[] = [];
  for (const place of places) {
    // Not even its own folder is seen where the engine keeps its files somewhere else.
    const isThere = await lstat(place.folder).then(
      () => true,
      () => false,
    );
    const use = isThere ? await measureFolder(place.folder) : undefined;
    if (use === undefined) return undefined;
    found.push({ ...place, ...use });
  }
  return addDeleted(found, container);
}

interface Usage {
  readonly bytes: number;
  readonly files: number;
}

/** Blocks on disk: a hole costs nothing. Follows no link, and stops at so many files. */
export async function measureFolder(folder: string, most = mostFiles): Promise<Usage | undefined> {
  const folders = [folder];
  let bytes = 0;
  let files = 0;
  for (let at = folders.pop(); at !== undefined && files < most; at = folders.pop()) {
    const entries = await entriesOf(at);
    if (entries === undefined) return undefined;
    let batch: string[] = [];
    for await (const entry of entries) {
      files += 1;
      const path = `${at}/${entry.name}`;
      batch.push(path);
      if (entry.isDirectory()) folders.push(path);
      if (batch.length === batchSize || files >= most) {
        bytes += await blocksOfAll(batch);
        batch = [];
      }
      if (files >= most) break;
    }
    bytes += await blocksOfAll(batch);
  }
  return { bytes, files };
}

/** What went meanwhile had nothing in it. */
async function entriesOf(folder: string): Promise<AsyncIterable<Dirent> | Iterable<Dirent> | undefined> {
  try {
    return await opendir(folder);
  } catch (error) {
    return codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR" ? [] : undefined;
  }
}

async function blocksOfAll(paths: readonly string[]): Promise<number> {
  return (await Promise.all(paths.map(blocksOf))).reduce((sum, bytes) => sum + bytes, 0);
}

async function blocksOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).blocks * 512;
  } catch (error) {
    if (absentCodes.has(codeOf(error))) return 0;
    throw error;
  }
}

/** A file without a name takes disk as long as somebody has it open; it is told as part of the container's own layer. */
function addDeleted(found: readonly PlaceUse[], { pid }: ObservedContainer): PlaceUse[] {
  const members = pid === 0 ? undefined : observeCgroups(pid)?.members;
  const root = pid === 0 ? undefined : unlessAbsent(() => statSync(`/proc/${pid}/root`));
  if (members === undefined || root === undefined) return [...found];
  const devices = new Set([root.dev, ...found.map(({ folder }) => unlessAbsent(() => statSync(folder))?.dev)]);
  const seen = new Map<string, number>();
  let looked = 0;
  for (const member of observeMembers(members))
    for (const descriptor of listProcFolder(`/proc/${member}/fd`) ?? []) {
      looked += 1;
      if (looked > mostDescriptors) break;
      const path = `/proc/${member}/fd/${descriptor}`;
      if (readProcLink(path)?.endsWith(" (deleted)") !== true) continue;
      const file = unlessAbsent(() => statSync(path));
      if (file?.isFile() === true && devices.has(file.dev)) seen.set(`${file.dev}:${file.ino}`, file.blocks * 512);
    }
  const more = [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
  return found.map((use) => (use.kind === "layer" ? { ...use, bytes: use.bytes + more, files: use.files + seen.size } : use));
}
