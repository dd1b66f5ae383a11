import { readdir } from "node:fs/promises";
import { execa } from "execa";
import { useOwnTablesIn } from "../own-tables.ts";
import type { HostPlan, LabPlan } from "./plan.ts";
import { waitUntil } from "./wait.ts";

/**
 * One namespace per host and one for the switch, which has a bridge and nothing else: in the root namespace the filter rules
 * of the machine's own engine would drop what hosts send each other. No host has a route out of the lab. Master and hosts
 * know each other's MAC address for good, so a cut is silent, as it is behind a router: nobody is told "no route".
 */
export async function layNetwork(plan: LabPlan): Promise<void> {
  const { link, switchName } = plan;
  await ip(undefined, [
    `netns add ${switchName}`,
    ...plan.hosts.map((host) => `netns add ${host.name}`),
    `link add ${link} address ${plan.masterMac} type veth peer name uplink netns ${switchName}`,
    ...plan.hosts.map(
      (host) => `link add ${host.name} netns ${switchName} type veth peer name eth0 address ${host.mac} netns ${host.name}`,
    ),
    `addr add ${plan.masterAddress}/24 dev ${link}`,
    `link set ${link} up`,
    ...plan.hosts.map((host) => `neigh replace ${host.address} lladdr ${host.mac} dev ${link} nud permanent`),
  ]);
  await ip(switchName, [
    "link add switch type bridge",
    "link set switch up",
    ...["uplink", ...plan.hosts.map((host) => host.name)].flatMap((port) => [
      `link set dev ${port} master switch`,
      `link set dev ${port} up`,
    ]),
  ]);
  for (const host of plan.hosts) {
    await useOwnTablesIn(host.name);
    await ip(host.name, [
      "link set lo up",
      `addr add ${host.address}/24 dev eth0`,
      "link set eth0 up",
      `neigh replace ${plan.masterAddress} lladdr ${plan.masterMac} dev eth0 nud permanent`,
    ]);
  }
}

/** Pulls the host's cable at the switch: frames are lost in both directions, while both ends still see a carrier. */
export async function cutHost(plan: LabPlan, host: HostPlan): Promise<void> {
  await ip(plan.switchName, [`link set dev ${host.name} nomaster`]);
}

export async function healHost(plan: LabPlan, host: HostPlan): Promise<void> {
  await ip(plan.switchName, [`link set dev ${host.name} master switch`]);
}

export async function removeNetwork(plan: LabPlan): Promise<void> {
  for (const link of await linksOf(plan)) await execa("ip", ["link", "del", link], { reject: false });
  for (const namespace of await namespacesOf(plan)) await execa("ip", ["netns", "del", namespace], { reject: false });
  await waitUntil(async () => (await linksOf(plan)).length === 0, 10_000);
}

export async function namespacesOf(plan: LabPlan): Promise<string[]> {
  const all = await readdir("/run/netns").catch((): string[] => []);
  return [plan.switchName, ...plan.hosts.map((host) => host.name)].filter((name) => all.includes(name));
}

/** Links of the lab in the root namespace. */
export async function linksOf(plan: LabPlan): Promise<string[]> {
  const ours = [plan.link, ...plan.hosts.map((host) => host.name)];
  return (await readdir("/sys/class/net")).filter((name) => ours.includes(name));
}

/** Whether no route of the machine but the default one covers or enters the subnet. */
export async function isFree(subnet: string): Promise<boolean> {
  const covering = await execa("ip", ["-4", "route", "show", "match", subnet]);
  const inside = await execa("ip", ["-4", "route", "show", "root", subnet]);
  const lines = `${covering.stdout}\n${inside.stdout}`.split("\n");
  return lines.every((line) => line === "" || line.startsWith("default "));
}

async function ip(namespace: string | undefined, commands: readonly string[]): Promise<void> {
  const where = namespace === undefined ? [] : ["-n", namespace];
  await execa("ip", [...where, "-batch", "-"], { input: `${commands.join("\n")}\n` });
}
