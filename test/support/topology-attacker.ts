import { useOutsider } from "./outsider.ts";
import type { Site } from "./topology-sites.ts";
import { useOutside } from "./use-outside.ts";

/** A machine outside of a topology's host. */
export interface TopologyAttacker {
  readonly address: string;
  /** An address of the host that it reaches, for the ports of gateways. */
  readonly publishedOn: string;
  /** The first line that a TCP server says, after it was told something; empty when nobody answers. */
  greetingOf(address: string, port: number, words?: string): Promise<string>;
  /** Sends what is for these networks to the host; whatever the host's policy, it forwards now. */
  learnWays(subnets: readonly string[]): Promise<void>;
  /** Packets that began something, and came here from the host. */
  heard(): Promise<number>;
  dispose(): Promise<void>;
}

/** On a cable to this host, which is the way to everything. */
export async function useAttackerBeside(site: Site): Promise<TopologyAttacker> {
  const outside = await useOutside(`${site.master.prefix}-out`);
  return {
    address: outside.address,
    publishedOn: outside.hostAddress,
    async greetingOf(address, port, words = "") {
      const call = `printf %s "$3" | nc -w 2 "$1" "$2" | head -n 1`;
      return (await outside.run("sh", "-c", call, "sh", address, String(port), words)).stdout.trim();
    },
    learnWays: async () => undefined,
    heard: () => outside.heard(),
    dispose: () => outside.dispose(),
  };
}

/** A machine on the network of the worker. */
export async function useAttackerOfLab({ swarm, run, publishOn }: Site): Promise<TopologyAttacker> {
  if (swarm === undefined) throw new Error("the site is not in a lab");
  const outsider = await useOutsider(swarm.lab);
  const [worker] = swarm.workers;
  await outsider.run(
    "nft",
    [
      "table ip heard { chain input { type filter hook input priority 0; policy accept;",
      "meta l4proto { tcp, udp } ct state new counter; }; }",
    ].join(" "),
  );
  return {
    address: outsider.address,
    publishedOn: publishOn,
    greetingOf: (address, port, words) => outsider.greetingOf(address, port, words),
    async learnWays(subnets) {
      await run("iptables", "-P", "FORWARD", "ACCEPT");
      for (const subnet of new Set(subnets)) await outsider.run("ip", "route", "add", subnet, "via", worker?.host.address ?? "");
    },
    async heard() {
      return Number(/packets (\d+)/.exec(await outsider.run("nft", "list", "table", "ip", "heard"))?.[1] ?? Number.NaN);
    },
    dispose: () => outsider.dispose(),
  };
}
