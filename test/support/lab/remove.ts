import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { execa } from "execa";
import { answers, docker, startEngine, stopEngine } from "./engine.ts";
import { linksOf, namespacesOf, removeNetwork } from "./network.ts";
import type { HostPlan, LabPlan } from "./plan.ts";
import { containersOnDisk, processesOf, stopProcesses } from "./processes.ts";
import { registeredLabs } from "./register.ts";

const patienceMs = 5_000;

/**
 * Removes every trace of a lab, in whatever state it is: programs, containers, engines, mounts, namespaces, links, files.
 * Everything is found by the plan alone, so another process than the one that made the lab can do it. Fails when something
 * is left.
 */
export async function removeLab(plan: LabPlan): Promise<void> {
  const isEngine = (command: string) => plan.hosts.some((host) => command.includes(host.execRoot));
  const programs = (await processesOf(plan)).filter(({ command, contained }) => !contained && !isEngine(command));
  await stopProcesses(programs, patienceMs);
  await Promise.all(plan.hosts.map((host) => removeContainers(host)));
  await Promise.all(plan.hosts.map((host) => stopEngine(host, "SIGTERM")));
  await stopProcesses(await processesOf(plan), patienceMs);
  const left = (await processesOf(plan)).map(({ pid, command }) => `process ${pid}: ${command}`);
  for (const mount of (await mountsOf(plan)).reverse()) await execa("umount", [mount], { reject: false });
  left.push(...(await mountsOf(plan)).map((mount) => `mount ${mount}`));
  await removeNetwork(plan);
  left.push(...(await namespacesOf(plan)).map((name) => `network namespace ${name}`));
  left.push(...(await linksOf(plan)).map((name) => `link ${name}`));
  // Files stay while something is mounted below them or runs from them: a search for the cause needs them.
  if (left.length === 0) await rm(plan.folder, { recursive: true, force: true });
  else throw new Error(`the lab ${plan.name} left behind (files in ${plan.folder}):\n${left.join("\n")}`);
}

/** Of test commands that were ended in the middle: what they left running takes its part of the machine from all that follow. */
export async function removeAbandonedLabs(): Promise<void> {
  for (const { plan, keeper, abandoned } of await registeredLabs()) if (abandoned && "pid" in keeper) await removeLab(plan);
}

/** An engine that is gone is started once more: only an engine ends its containers with all that belongs to them. */
async function removeContainers(host: HostPlan): Promise<void> {
  if ((await containersOnDisk(host.dataRoot)).length === 0) return;
  if (!(await answers(host)) && existsSync(`/run/netns/${host.name}`)) {
    await stopEngine(host, "SIGKILL");
    await startEngine(host).catch(() => undefined);
  }
  const { stdout } = await docker(host, ["ps", "-aq"], { reject: false });
  const ids = stdout.split("\n").filter((id) => id !== "");
  if (ids.length > 0) await docker(host, ["rm", "-f", "-v", ...ids], { reject: false });
}

/** Mount points in the lab's folder, outer ones first. */
async function mountsOf(plan: LabPlan): Promise<string[]> {
  const points = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  return points.filter((point) => point.startsWith(`${plan.folder}/`));
}
