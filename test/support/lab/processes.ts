import { readdir, readFile, readlink, stat } from "node:fs/promises";
import type { LabPlan } from "./plan.ts";
import { waitUntil } from "./wait.ts";

export interface Process {
  readonly pid: number;
  /** Arguments, joined by spaces. */
  readonly command: string;
  /** In a container of one of the lab's engines. */
  readonly contained: boolean;
}

/**
 * A process that ended is a zombie until its parent has asked for its end: `kill -0` still succeeds, its state tells. Its
 * arguments do not, as a process that just becomes another program has none for a moment.
 */
export async function isAlive(pid: number): Promise<boolean> {
  const [state = ""] = fieldsOf(await readProc(pid, "stat"));
  return state !== "" && !"ZX".includes(state);
}

/**
 * Moment at which the process started, in the kernel's ticks: tells it from a later one with the same pid. Empty when it is
 * gone.
 */
export async function startOf(pid: number): Promise<string> {
  if (!(await isAlive(pid))) return "";
  return fieldsOf(await readProc(pid, "stat"))[19] ?? "";
}

/** What /proc says of a process after its name, which may hold anything; empty when it is gone. */
function fieldsOf(stat: string): string[] {
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/**
 * What runs in the lab: in a host's network namespace (its engine and whatever was started there), or in a cgroup of a
 * container of one of its engines.
 */
export async function processesOf(plan: LabPlan): Promise<Process[]> {
  const networks = new Set<string>();
  const containers: string[] = [];
  for (const host of plan.hosts) {
    const namespace = await stat(`/run/netns/${host.name}`).catch(() => undefined);
    if (namespace !== undefined) networks.add(`net:[${namespace.ino}]`);
    containers.push(...(await containersOnDisk(host.dataRoot)));
  }
  const found: Process[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const command = (await readProc(pid, "cmdline")).replaceAll("\0", " ").trim();
    if (command === "") continue;
    const network = await readlink(`/proc/${pid}/ns/net`).catch(() => "");
    const cgroup = containers.length === 0 ? "" : await readProc(pid, "cgroup");
    const contained = containers.some((id) => cgroup.includes(id));
    if (contained || networks.has(network)) found.push({ pid, command, contained });
  }
  return found;
}

/** Ids of the containers that an engine keeps under its data root, whether it runs or not. */
export async function containersOnDisk(dataRoot: string): Promise<string[]> {
  return readdir(`${dataRoot}/containers`).catch((): string[] => []);
}

/** SIGTERM, and SIGKILL for what is still there after the time; true when all of them are gone. */
export async function stopProcesses(processes: readonly Process[], patienceMs: number): Promise<boolean> {
  const areGone = async () => {
    for (const { pid } of processes) if (await isAlive(pid)) return false;
    return true;
  };
  for (const { pid } of processes) signal(pid, "SIGTERM");
  if (await waitUntil(areGone, patienceMs)) return true;
  for (const { pid } of processes) if (await isAlive(pid)) signal(pid, "SIGKILL");
  return waitUntil(areGone, 10_000);
}

/** A process that is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function readProc(pid: number, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
}
