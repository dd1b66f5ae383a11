import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isFree } from "./network.ts";
import { folderOf, type LabPlan, labFolderPrefix, labFolders, labNumbers, planLab, subnetOf } from "./plan.ts";
import { startOf } from "./processes.ts";

/** Who keeps a lab: the process that made it, or a person. */
type Keeper = { readonly pid: number; readonly start: string } | "by-hand";

const recordFile = "lab";

/** Takes a number that no other lab has (making its folder is the claim) and whose subnet is free, and notes there what the lab is. */
export async function registerLab(name: string, hosts: number, keeper: "process" | "by-hand"): Promise<LabPlan> {
  const first = randomBytes(1)[0] ?? 0;
  for (let attempt = 0; attempt < labNumbers; attempt += 1) {
    const number = (first + attempt) % labNumbers;
    const plan = planLab(name, number, hosts);
    if (!(await isFree(subnetOf(number))) || !(await claim(plan.folder))) continue;
    const kept = keeper === "by-hand" ? keeper : `${process.pid} ${await startOf(process.pid)}`;
    await writeFile(join(plan.folder, recordFile), `${name} ${number} ${hosts} ${kept}\n`);
    return plan;
  }
  throw new Error("no subnet is free for a lab");
}

/** Undefined when the folder is none of a lab, or of one that was killed while it was being registered. */
export async function readLab(folder: string): Promise<{ plan: LabPlan; keeper: Keeper } | undefined> {
  const record = await readFile(join(folder, recordFile), "utf8").catch(() => "");
  const [name, number, hosts, pid, start] = record.trim().split(" ");
  if (name === undefined || pid === undefined || folderOf(Number(number)) !== folder) return undefined;
  const keeper: Keeper = pid === "by-hand" ? pid : { pid: Number(pid), start: start ?? "" };
  return { plan: planLab(name, Number(number), Number(hosts)), keeper };
}

/** Labs of processes that ended without removing them. */
export async function abandonedLabs(): Promise<LabPlan[]> {
  const found: LabPlan[] = [];
  for (const name of await readdir(labFolders)) {
    if (!name.startsWith(labFolderPrefix)) continue;
    const lab = await readLab(join(labFolders, name));
    if (lab === undefined || lab.keeper === "by-hand") continue;
    if ((await startOf(lab.keeper.pid)) !== lab.keeper.start) found.push(lab.plan);
  }
  return found;
}

async function claim(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o711 });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}
