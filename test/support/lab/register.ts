import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isFree } from "./network.ts";
import { folderOf, type LabPlan, labFolders, labNumbers, planLab, subnetOf } from "./plan.ts";
import { startOf } from "./processes.ts";

/** Who keeps a lab: the process that made it, or somebody who works in a checkout. */
export type Keeper = { readonly pid: number } | { readonly checkout: string };

export interface RegisteredLab {
  readonly plan: LabPlan;
  readonly keeper: Keeper;
  /** Its process ended, or its checkout is gone. */
  readonly abandoned: boolean;
}

const recordFile = "lab";

/**
 * Takes a number that no other lab has (making its folder is the claim) and whose subnet is free, and notes there what the
 * lab is.
 */
export async function registerLab(name: string, hosts: number, keeper: Keeper): Promise<LabPlan> {
  const first = randomBytes(1)[0] ?? 0;
  for (let attempt = 0; attempt < labNumbers; attempt += 1) {
    const number = (first + attempt) % labNumbers;
    const plan = planLab(name, number, hosts);
    if (!(await isFree(subnetOf(number))) || !(await claim(plan.folder))) continue;
    const kept = "pid" in keeper ? `process ${keeper.pid} ${await startOf(keeper.pid)}` : `checkout ${keeper.checkout}`;
    await writeFile(join(plan.folder, recordFile), `${name} ${number} ${hosts} ${kept}`);
    return plan;
  }
  throw new Error("no subnet is free for a lab");
}

/** All labs on this machine, no matter who keeps them. */
export async function registeredLabs(): Promise<RegisteredLab[]> {
  const found: RegisteredLab[] = [];
  for (const name of await readdir(labFolders)) {
    const folder = join(labFolders, name);
    const record = await readFile(join(folder, recordFile), "utf8").catch(() => "");
    const [, lab, number, hosts, kind, kept] = /^(\S+) (\d+) (\d+) (process|checkout) (.+)$/.exec(record) ?? [];
    if (lab === undefined || kept === undefined || folderOf(Number(number)) !== folder) continue;
    const plan = planLab(lab, Number(number), Number(hosts));
    if (kind === "checkout") {
      found.push({ plan, keeper: { checkout: kept }, abandoned: !existsSync(kept) });
    } else {
      const [pid = "", start] = kept.split(" ");
      found.push({ plan, keeper: { pid: Number(pid) }, abandoned: (await startOf(Number(pid))) !== start });
    }
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
