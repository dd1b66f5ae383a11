import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";

/** A machine outside, on a cable of the test's own: it is no port of the host, and every decky has a way to it. */
interface Outside {
  readonly address: string;
  /** Packets that came from deckies. */
  heard(): Promise<number>;
  dispose(): Promise<void>;
}

async function useOutside(name: string): Promise<Outside> {
  const ip = (...args: string[]) => execa("ip", args);
  const within = (...args: string[]) => execa("ip", ["netns", "exec", name, ...args], { reject: false });
  const third = 1 + Math.floor(Math.random() * 250);
  const [host, address] = [`10.79.${third}.1`, `10.79.${third}.2`];
  const cable = `${name}-o`.slice(0, 15);
  await ip("netns", "add", name);
  await ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name);
  await ip("address", "add", `${host}/24`, "dev", cable);
  await ip("link", "set", cable, "up");
  for (const args of [
    ["address", "add", `${address}/24`, "dev", "eth0"],
    ["link", "set", "eth0", "up"],
    ["link", "set", "lo", "up"],
    ["route", "add", "default", "via", host],
  ])
    await within("ip", ...args);
  const listener = execa("ip", ["netns", "exec", name, "nc", "-lk", "-p", "8080"], { reject: false, stdin: "ignore" });
  await within(
    "nft",
    [
      "table ip heard { chain input { type filter hook input priority 0; policy accept;",
      "meta l4proto { tcp, udp, icmp } counter; }; }",
    ].join(" "),
  );
  return {
    address,
    async heard() {
      const { stdout } = await within("nft", "list", "table", "ip", "heard");
      return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
    },
    async dispose() {
      listener.kill("SIGKILL");
      await listener;
      await ip("netns", "del", name);
    },
  };
}

describe("whoever is inside a decky of the fleet", () => {
  let master: TestMaster;
  let outside: Outside;
  let decky: { name: string };
  const pid = async () => (await dockerLines(["inspect", "--format", "{{.State.Pid}}", decky.name]))[0] ?? "";
  const list = async () => (await inside(decky.name, "nft", ["list", "table", "inet", "decnet-guard"])).stdout;
  const calls = async (address: string, port: number) =>
    (await inside(decky.name, "nc", ["-z", "-w", "1", address, String(port)])).exitCode === 0;
  const seen = async () => (await master.fleet.getDecky({ decky })).decky;
  const address = async (name: string) =>
    (await dockerLines(["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name]))[0] ?? "";

  beforeAll(async () => {
    master = await useMaster();
    outside = await useOutside(`${master.prefix}-out`);
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"], b: ["redis"] });
  });
  afterAll(async () => {
    await master?.dispose();
    await outside?.dispose();
  });

  it("is kept to itself before the first service starts", async () => {
    const { operations } = await master.operations.listOperations({ filter: `decky=${decky.name}` });
    const text = operations.map(({ plan }) => plan?.text ?? "").find((each) => each.includes(" guard ")) ?? "";
    expect(text).toMatch(
      /create \S+-a \(base is absent\).*guard \S+-a \(before anything in it can call out\).*create \S+-redis/s,
    );
  });

  it("calls nobody outside: not one packet arrives, and those that were sent are counted", async () => {
    expect(await calls(outside.address, 8080)).toBe(false);
    await inside(decky.name, "sh", ["-c", `echo x | nc -u -w 1 ${outside.address} 53; ping -c 1 -W 1 ${outside.address}`]);
    expect(await outside.heard()).toBe(0);
    const counted = await eventually(async () => {
      const now = await seen();
      return (now?.deniedPackets ?? 0) > 0 && now;
    });
    expect(counted.state).toBe(DeckyState.RUNNING);
  });
});
