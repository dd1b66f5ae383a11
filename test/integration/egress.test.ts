import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Outside, useOutside } from "../support/use-outside.ts";

describe("whoever is inside a decky of the fleet", () => {
  let master: TestMaster;
  let outside: Outside;
  let decky: { name: string };
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
    // A quiet machine is denied nothing.
    expect((await seen())?.deniedPackets).toBe(0);
    expect(await calls(outside.address, 8080)).toBe(false);
    await inside(decky.name, "sh", ["-c", `echo x | nc -u -w 1 ${outside.address} 53; ping -c 1 -W 1 ${outside.address}`]);
    expect(await outside.heard()).toBe(0);
    const counted = await eventually(async () => {
      const now = await seen();
      return (now?.deniedPackets ?? 0) > 0 && now;
    });
    expect(counted.state).toBe(DeckyState.RUNNING);
  });

  it("reaches its neighbours, and is reached by them", async () => {
    expect(await calls(await address(`${master.prefix}-b`), 6379)).toBe(true);
  });

  it("cannot undo that with the rights of any of its services", async () => {
    const before = await list();
    const status = (await execa("docker", ["exec", `${decky.name}-redis`, "cat", "/proc/self/status"])).stdout;
    const rights = Number.parseInt(/^CapBnd:\s+(\w+)$/m.exec(status)?.[1] ?? "", 16);
    const held = Array.from({ length: 41 }, (_, bit) => bit).filter((bit) => Math.floor(rights / 2 ** bit) % 2 === 1);
    const bounding = ["-all", ...held.map((bit) => `+cap_${bit}`)].join(",");
    const limited = (...command: string[]) =>
      inside(decky.name, "setpriv", ["--inh-caps=-all", `--bounding-set=${bounding}`, ...command]);
    for (const command of [
      ["nft", "delete", "table", "inet", "decnet-guard"],
      ["ip", "route", "replace", "192.0.2.0/24", "via", master.lan.subnet.replace(/0\/24$/, "1")],
      // Frames of one's own making would pass by every rule.
      ["python3", "-c", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"],
    ]) {
      const { exitCode, stderr } = await limited(...command);
      expect([command[0], exitCode === 0, stderr]).toEqual([command[0], false, expect.stringMatching(/not permitted/i)]);
    }
    expect((await execa("docker", ["exec", `${decky.name}-redis`, "cat", "/proc/self/mounts"])).stdout).toMatch(
      / \/proc\/sys .* ro,/,
    );
    expect(await list()).toBe(before);
  });

  it("calls who is on its list, as soon as it is said and not any more when it is not, while everything runs on", async () => {
    const before = await containersOf(master.prefix);
    const allow = (egress: { cidr: string; protocol?: string; port?: number }[]) =>
      master.fleet.applyFleet({
        fleet: {
          lan: master.lan,
          deckies: ["a", "b"].map((name) => ({
            name: `${master.prefix}-${name}`,
            services: [{ slug: "redis" }],
            egress: name === "a" ? egress : [],
          })),
        },
      });
    await allow([{ cidr: outside.address, protocol: "tcp", port: 8080 }]);
    expect((await seen())?.egress.map(({ cidr }) => cidr)).toEqual([`${outside.address}/32`]);
    expect(await calls(outside.address, 8080)).toBe(true);
    expect(await calls(outside.address, 8081)).toBe(false);
    expect(await outside.heard()).toBe(1);
    await allow([]);
    expect(await calls(outside.address, 8080)).toBe(false);
    expect(await outside.heard()).toBe(1);
    expect(await containersOf(master.prefix)).toEqual(before);
  });

  it("is kept to itself again, with its cause, after its rules were removed and after its base was started again", async () => {
    await inside(decky.name, "nft", ["delete", "table", "inet", "decnet-guard"]);
    const repairs = async () => {
      const { operations } = await master.operations.listOperations({ filter: "kind=repair", pageSize: 100 });
      return operations.filter(
        ({ decky: whose, plan, state }) =>
          whose?.name === decky.name &&
          state === OperationState.SUCCEEDED &&
          plan?.text.includes("nothing keeps it from calling out") === true,
      ).length;
    };
    await eventually(async () => (await repairs()) === 1, 30_000);
    expect(await list()).toContain("denied");
    await execa("docker", ["restart", "-t", "0", decky.name]);
    await eventually(async () => (await repairs()) === 2, 30_000);
    expect(await calls(outside.address, 8080)).toBe(false);
    expect(await calls(await address(`${master.prefix}-b`), 6379)).toBe(true);
    expect(await outside.heard()).toBe(1);
  });
});
