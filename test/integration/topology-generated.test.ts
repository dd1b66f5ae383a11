import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { TopologyDecky } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useAttackerBeside, useAttackerOfLab } from "../support/topology-attacker.ts";
import { type Site, useThisHost, useWorkerHost } from "../support/topology-sites.ts";
import { eventually } from "../support/use-master.ts";

const settings = { seed: 7, lans: 4, deckies: 12, forwardProbability: 0.5, services: ["redis"] };
const gateway = "decky-001";
const places = [
  ["this host", () => useThisHost({ slugs: [] }), useAttackerBeside],
  ["a worker", () => useWorkerHost({ slugs: ["redis", "ssh"] }), useAttackerOfLab],
] as const;

describe.each(places)("the topology of seed 7 with 4 LANs and 12 deckies, on %s", (_, useSite, useAttacker) => {
  let site: Site;
  let attacker: Awaited<ReturnType<typeof useAttacker>>;
  let id: string;
  let deckies: TopologyDecky[];
  const pids = new Map<string, string>();
  const topology = () => `seed-7-${site.master.prefix}`;
  const addresses = () => deckies.flatMap(({ name, attachments }) => attachments.map(({ lan, ip }) => ({ name, lan, ip })));

  /** Which of these addresses answer to somebody inside a decky, on redis's port. */
  const heardBy = async (name: string, ips: readonly string[]) => {
    const ask = `for ip in ${ips.join(" ")}; do (nc -z -w 2 $ip 6379 && echo $ip) & done; wait`;
    return (await site.run("nsenter", "-t", pids.get(name) ?? "", "-n", "sh", "-c", ask)).split("\n").filter((ip) => ip !== "");
  };
  /** LANs that a decky gets to when only those lead over that are said to; found from the answer of the master alone. */
  const lansFrom = (name: string): ReadonlySet<string> => {
    const lansOf = (each: TopologyDecky) => each.attachments.map(({ lan }) => lan);
    const reached = new Set(lansOf(deckies.find((each) => each.name === name) ?? expect.fail(`no ${name}`)));
    for (let before = -1; before !== reached.size; ) {
      before = reached.size;
      for (const each of deckies)
        if (each.forwards && lansOf(each).some((lan) => reached.has(lan))) for (const lan of lansOf(each)) reached.add(lan);
    }
    return reached;
  };

  beforeAll(async () => {
    site = await useSite();
    attacker = await useAttacker(site);
    const { topologies } = site.master;
    const made = await topologies.generateTopology({
      ...{ name: topology(), host: site.host, publishOn: attacker.publishedOn },
      // The four networks of this test's own, one for each LAN.
      settings: { ...settings, subnetBase: site.subnetOf(0).replace("/24", "/22") },
    });
    id = made.topology?.id ?? expect.fail("no topology");
    await topologies.updateDecky({
      ...{ topology: topology(), name: gateway },
      services: { services: ["redis", "ssh"].map((slug) => ({ slug })) },
    });
    const { topology: live } = await topologies.deployTopology({ topology: topology() });
    expect(live?.state).toBe(TopologyState.ACTIVE);
    deckies = live?.deckies ?? [];
    for (const { name } of deckies) {
      const [pid = ""] = await site.docker("inspect", "--format", "{{.State.Pid}}", `${id}-${name}`);
      pids.set(name, pid);
    }
    await attacker.learnWays(addresses().map(({ ip }) => ip.replace(/\d+$/, "0/24")));
  });
  afterAll(async () => {
    await site?.master.topologies.teardownTopology({ topology: topology() }).catch(() => undefined);
    await attacker?.dispose();
    await site?.dispose();
  });

  it("runs, every decky of it, and some of those that are on two LANs lead over while others do not", () => {
    expect(deckies.map(({ decky }) => decky?.state)).toEqual(Array(12).fill(DeckyState.RUNNING));
    expect(new Set(addresses().map(({ lan }) => lan)).size).toBe(4);
    const ways = deckies.filter(({ attachments }) => attachments.length > 1);
    expect(new Set(ways.map(({ forwards }) => forwards))).toEqual(new Set([true, false]));
  });

  it("answers the attacker as ssh on its host's address, and the decoy's log names him", async () => {
    expect(await attacker.greetingOf(attacker.publishedOn, 22)).toMatch(/^SSH-2\.0/);
    await eventually(async () =>
      (await site.run("sh", "-c", `docker logs ${id}-${gateway}-ssh 2>&1`)).includes(attacker.address),
    );
  });

  it("answers him on no address of a decky, though he knows the way and the host forwards", async () => {
    const answers = await Promise.all(addresses().map(async ({ ip }) => [ip, await attacker.greetingOf(ip, 6379, "PING\r\n")]));
    expect(answers).toEqual(addresses().map(({ ip }) => [ip, ""]));
  });

  it("lets a shell on the gateway reach the LAN behind it", async () => {
    const beyond = [...lansFrom(gateway)].filter((lan) => lan !== "dmz");
    const inner = addresses().find(({ name, lan }) => name !== gateway && beyond.includes(lan)) ?? expect.fail("nobody inside");
    const ask = `exec 3<>/dev/tcp/${inner.ip}/6379 && echo through`;
    expect(await site.docker("exec", `${id}-${gateway}-ssh`, "bash", "-c", ask)).toEqual(["through"]);
  });

  it("lets a packet cross where a decky forwards, and nowhere else", async () => {
    const found = await Promise.all(
      deckies.map(async ({ name }) => {
        const others = addresses().filter((each) => each.name !== name);
        const heard = await heardBy(
          name,
          others.map(({ ip }) => ip),
        );
        return [name, others.filter(({ ip }) => heard.includes(ip))];
      }),
    );
    const wanted = deckies.map(({ name }) => {
      const lans = lansFrom(name);
      return [name, addresses().filter((each) => each.name !== name && lans.has(each.lan))];
    });
    expect(found).toEqual(wanted);
  });

  it("sends nothing out of the host that begins inside, not even the first packet of a call", async () => {
    const before = await attacker.heard();
    for (const { name } of deckies)
      await site.run("nsenter", "-t", pids.get(name) ?? "", "-n", "sh", "-c", `nc -z -w 1 ${attacker.address} 8080; true`);
    expect(await attacker.heard()).toBe(before);
    // The same call from the host itself is counted: the attacker would have seen one.
    await site.run("sh", "-c", `nc -z -w 1 ${attacker.address} 8080; true`);
    expect(await attacker.heard()).toBeGreaterThan(before);
  });
});
