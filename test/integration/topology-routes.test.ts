import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, dockerLines, eventually, inside, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Outside, useOutside } from "../support/use-outside.ts";

/**
 * DMZ ── gateway ── office ── bridge ── vault, with a decky on each; the bridge does not forward at first. The attacker is a
 * machine of its own, outside of the host.
 */
describe("a topology with a machine outside", () => {
  let master: TestMaster;
  let outside: Outside;
  let topology: string;
  let id: string;
  const addresses = new Map<string, string>();
  const container = (name: string) => `${id}-${name}`;
  const at = (place: string) => addresses.get(place) ?? expect.fail(`no place ${place}`);

  /** Whether redis answers to somebody inside a decky. */
  const asks = async (from: string, place: string) =>
    (await inside(container(from), "nc", ["-z", "-w", "1", at(place), "6379"])).exitCode === 0;
  const routes = async (of: string) => {
    const { stdout } = await inside(container(of), "ip", ["route", "show"]);
    return stdout.split("\n").filter((line) => line.includes(" via "));
  };
  const repairOf = (name: string, cause: string) =>
    eventually(async () => {
      const { operations } = await master.operations.listOperations({ filter: "kind=repair", pageSize: 100 });
      return operations.find(
        ({ decky, plan, state }) =>
          decky?.name === name && state === OperationState.SUCCEEDED && plan?.text.includes(cause) === true,
      );
    }, 30_000);
  const setForwards = (forwards: boolean, dryRun = false) =>
    master.topologies.updateDecky({ topology, name: "bridge", forwards, options: { dryRun } });

  beforeAll(async () => {
    master = await useMaster();
    outside = await useOutside(`${master.prefix}-out`);
    topology = `${master.prefix}-corp`;
    const { topologies } = master;
    const made = await topologies.createTopology({ name: topology, publishOn: outside.hostAddress });
    id = made.topology?.id ?? expect.fail("no topology");
    const second = 80 + Math.floor(Math.random() * 100);
    for (const [third, name] of ["dmz", "office", "vault"].entries())
      await topologies.addLan({ topology, name, isDmz: name === "dmz", subnet: `10.${second}.${third}.0/24` });
    const add = (name: string, lans: string[], forwards = false, services = ["redis"]) =>
      topologies.addDecky({
        ...{ topology, name, forwards },
        services: services.map((slug) => ({ slug })),
        attachments: lans.map((lan) => ({ lan })),
      });
    await add("gateway", ["dmz", "office"], true, ["ssh", "redis"]);
    await add("front", ["dmz"]);
    await add("desk", ["office"]);
    await add("bridge", ["office", "vault"]);
    await add("inner", ["vault"]);
    const { topology: live } = await topologies.deployTopology({ topology });
    for (const { name, attachments } of live?.deckies ?? [])
      for (const { lan, ip } of attachments) addresses.set(`${name}/${lan}`, ip);
  });
  afterAll(async () => {
    await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
    await master?.dispose();
    await outside?.dispose();
  });

  it("answers outside on the published ports of its gateway, whose log names the visitor", async () => {
    const { stdout } = await outside.run("nc", "-w", "2", outside.hostAddress, "22");
    expect(stdout).toContain("SSH-2.0");
    const log = await eventually(async () => {
      const { stdout: out, stderr } = await execa("docker", ["logs", `${container("gateway")}-ssh`]);
      return `${out}${stderr}`.includes(outside.address) && `${out}${stderr}`;
    });
    expect(log).toContain(outside.address);
  });

  it("answers outside on no address of its own", async () => {
    for (const [place, address] of addresses) expect([place, await outside.reaches(address, 6379)]).toEqual([place, false]);
  });

  it("gives every decky the ways that there are, and no others", async () => {
    expect(await routes("front")).toEqual([expect.stringContaining("default via"), expect.stringContaining(at("gateway/dmz"))]);
    expect(await routes("desk")).toEqual([expect.stringContaining(`via ${at("gateway/office")}`)]);
    expect(await routes("inner")).toEqual([]);
  });

  it("routes where a decky forwards, and nowhere else", async () => {
    expect(await asks("front", "desk/office")).toBe(true);
    expect(await asks("desk", "front/dmz")).toBe(true);
    expect(await asks("desk", "bridge/office")).toBe(true);
    expect(await asks("front", "inner/vault")).toBe(false);
    expect(await asks("desk", "inner/vault")).toBe(false);
    expect(await asks("bridge", "inner/vault")).toBe(true);
  });

  it("leads from a shell on the gateway to the LAN behind it", async () => {
    const ask = `exec 3<>/dev/tcp/${at("desk/office")}/6379 && echo through`;
    const { stdout } = await execa("docker", ["exec", `${container("gateway")}-ssh`, "bash", "-c", ask], { timeout: 10_000 });
    expect(stdout).toBe("through");
  });
});
