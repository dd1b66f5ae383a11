import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Outside, useOutside } from "../support/use-outside.ts";

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
