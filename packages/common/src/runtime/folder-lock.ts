import { randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, readlink, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "../errors/app-error.ts";
import { giveSignOfLife, mayHaveSignOfLife, type SignOfLife } from "./sign-of-life.ts";

/** Who has a folder: enough to tell, later, whether that very process still runs. */
interface Holder {
  readonly id: string;
  readonly program: string;
  readonly pid: number;
  /** Clock ticks from the machine's start to the process's; tells a process from a later one with the same number. */
  readonly startTicks: string;
  readonly hostName: string;
  readonly bootId: string;
  readonly pidNamespace: string;
  /** The inode of the folder: a lock that was copied along with everything else is nobody's. */
  readonly folderInode: string;
  readonly since: string;
  /** Where it listens, once it does. */
  readonly address: string;
  /** The file in the folder by which other containers see whether it lives; missing or empty: they cannot. */
  readonly sign?: string;
}

/** A folder that one process has for itself, until it releases it or ends. */
export interface FolderLock {
  /** Adds where the holder listens to what a refused starter is told. */
  note(address: string): Promise<void>;
  /** Whether it still is: a folder that was replaced, or a lock that somebody removed, may be another process's by now. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

const lockName = "daemon.lock";
const signName = /^daemon\.lock\.[0-9a-f-]+\.alive$/;
const attempts = 250;
const againMs = 20;

/**
 * Makes the folder when it is missing and takes it, before anything in it is touched. Of several that try at once exactly one
 * gets it; the lock of a process that is gone is taken over. Errors: DATA_FOLDER_IN_USE, STORAGE_UNAVAILABLE.
 */
export async function lockFolder(folder: string, program: string, mode: number): Promise<FolderLock> {
  const path = join(folder, lockName);
  const since = new Date().toISOString();
  let mine: Holder = { ...(await thisProcess()), id: randomUUID(), program, since, address: "", folderInode: "" };
  const isMine = async () => (await read(path))?.holder?.id === mine.id;
  let rival: Holder | undefined;
  let sign: SignOfLife | undefined;
  try {
    await mkdir(folder, { recursive: true, mode });
    const name = `${lockName}.${mine.id}.alive`;
    sign = await giveSignOfLife(folder, name);
    mine = { ...mine, folderInode: String((await stat(folder)).ino), sign: sign === undefined ? "" : name };
    rival = await take(path, mine);
    // Whoever has the folder is alone in it: the others are of those that are gone, or that have just been refused.
    const others = rival === undefined ? await readdir(folder) : [];
    for (const other of others) if (signName.test(other) && other !== name) await rm(join(folder, other), { force: true });
  } catch (cause) {
    await sign?.end();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("STORAGE_UNAVAILABLE", `the data folder ${folder} cannot be used: ${why}`, { cause });
  }
  if (rival !== undefined) {
    await sign?.end();
    throw inUse(folder, path, rival, mine);
  }
  return {
    async note(address) {
      if (!(await isMine())) return;
      mine = { ...mine, address };
      await replace(path, mine);
    },
    isHeld: isMine,
    async release() {
      if (await isMine()) await rm(path, { force: true });
      await sign?.end();
    },
  };
}

/**
 * Puts `mine` at the path, or returns who is there. A dead holder is replaced under a lock of its own beside the path, and only
 * while the file still says what was judged: nobody but the holder of that second lock changes the file of a dead one.
 */
async function take(path: string, mine: Holder): Promise<Holder | undefined> {
  let rival: Holder | undefined;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    if (await create(path, mine)) return undefined;
    const present = await read(path);
    if (present === undefined) continue;
    if (present.holder !== undefined && (await mayLive(present.holder, mine, dirname(path)))) return present.holder;
    const guard = `${path}.takeover`;
    rival = await take(guard, mine);
    if (rival !== undefined) {
      await delay(againMs);
      continue;
    }
    try {
      if ((await read(path))?.text !== present.text) continue;
      await replace(path, mine);
      return undefined;
    } finally {
      await rm(guard, { force: true });
    }
  }
  return rival ?? mine;
}

/** The file appears as a whole or not at all. */
async function create(path: string, holder: Holder): Promise<boolean> {
  const temporary = await writeTemporary(path, holder);
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function replace(path: string, holder: Holder): Promise<void> {
  await rename(await writeTemporary(path, holder), path);
}

async function writeTemporary(path: string, holder: Holder): Promise<string> {
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, `${JSON.stringify(holder)}\n`, { flag: "wx", mode: 0o600 });
  return temporary;
}

/** Undefined when there is no file; without a holder when nobody of us wrote it. */
async function read(path: string): Promise<{ text: string; holder: Holder | undefined } | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const holder = JSON.parse(text) as Holder;
    return { text, holder: typeof holder.pid === "number" ? holder : undefined };
  } catch {
    return { text, holder: undefined };
  }
}

async function thisProcess(): Promise<Pick<Holder, "pid" | "startTicks" | "hostName" | "bootId" | "pidNamespace">> {
  return {
    pid: process.pid,
    startTicks: (await processStart(process.pid))?.startTicks ?? "",
    hostName: hostname(),
    bootId: (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim(),
    pidNamespace: await readlink("/proc/self/ns/pid").catch(() => ""),
  };
}

/** A holder that cannot be judged from here counts as living: on another machine, or in another container and without a sign. */
async function mayLive(holder: Holder, mine: Holder, folder: string): Promise<boolean> {
  if (holder.folderInode !== mine.folderInode) return false;
  if (holder.bootId !== mine.bootId) return holder.hostName !== mine.hostName;
  if (!isVisible(holder, mine)) return holder.sign === undefined || holder.sign === "" || mayHaveSignOfLife(folder, holder.sign);
  const now = await processStart(holder.pid);
  if (now !== undefined) return now.startTicks === holder.startTicks && !["Z", "X"].includes(now.state);
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function isVisible(holder: Holder, mine: Holder): boolean {
  return holder.bootId === mine.bootId && holder.pidNamespace === mine.pidNamespace;
}

/** The name in the second field may hold anything, blanks and brackets too. */
async function processStart(pid: number): Promise<{ state: string; startTicks: string } | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const [state, ...rest] = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  const startTicks = rest[18];
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
}

function inUse(folder: string, path: string, holder: Holder, mine: Holder): AppError {
  const listening = holder.address === "" ? "" : `, listening on ${holder.address}`;
  const who = `${holder.program}, process ${holder.pid} on ${holder.hostName}, since ${holder.since}${listening}`;
  const message = `the data folder ${folder} is in use by ${who}`;
  return new AppError("DATA_FOLDER_IN_USE", message, {
    metadata: {
      folder,
      pid: String(holder.pid),
      host: holder.hostName,
      ...(isVisible(holder, mine) ? {} : { unseen_lock: path }),
    },
  });
}
