import { createServer, type Server } from "node:net";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** DMZ ── gateway ── office, each with one decky more. This machine is outside of the worker, which can call it. */
describe("a topology on a worker, seen from this machine", () => {
  let swarm: Swarm;
  let id: string;
  let listener: Server;
  let heard = 0;
  const addresses = new Map<string, string>();
  const worker = () => swarm.workers[0] ?? expect.fail("no worker");
  const at = (place: string) => addresses.get(place) ?? expect.fail(`no place ${place}`);
  const port = () => {
    const address = listener.address();
    return typeof address === "object" && address !== null ? address.port : expect.fail("no listener");
  };

  /** In the network namespace of a decky, with the rights of the worker's root. */
  const inside = async (name: string, ...command: string[]) => {
    const [pid = ""] = await worker().host.docker(["inspect", "--format", "{{.State.Pid}}", `${id}-${name}`]);
    return worker().host.run("nsenter", ["-t", pid, "-n", ...command], { reject: false });
  };
  const asks = async (name: string, address: string, of: number) =>
    (await inside(name, "nc", "-z", "-w", "1", address, String(of))).exitCode === 0;
  const repairsOf = async (name: string, cause: string) => {
    const { operations } = await swarm.master.operations.listOperations({ filter: "kind=repair", pageSize: 100 });
    return operations.filter(
      ({ decky, plan, state }) =>
        decky?.name === name && state === OperationState.SUCCEEDED && plan?.text.includes(cause) === true,
    ).length;
  };
  const isAsDesigned = async () =>
    (await asks("front", at("desk/office"), 6379)) &&
    (await asks("desk", at("front/dmz"), 6379)) &&
    !(await asks("gateway", swarm.lab.masterAddress, port())) &&
    !(await asks("desk", swarm.lab.masterAddress, port()));

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"] });
    listener = createServer((socket) => {
      heard += 1;
      socket.on("error", () => undefined).end();
    });
    await new Promise<void>((resolve) => listener.listen(0, swarm.lab.masterAddress, resolve));
    const { topologies } = swarm.master;
    const { name: host, host: machine } = worker();
    const made = await topologies.createTopology({ name: "corp", host, publishOn: machine.address });
    id = made.topology?.id ?? expect.fail("no topology");
    const topology = id;
    await topologies.addLan({ topology, name: "dmz", isDmz: true });
    await topologies.addLan({ topology, name: "office" });
    const services = [{ slug: "redis" }];
    const gateway = { topology, name: "gateway", services, forwards: true };
    await topologies.addDecky({ ...gateway, attachments: [{ lan: "dmz" }, { lan: "office" }] });
    await topologies.addDecky({ topology, name: "front", services, attachments: [{ lan: "dmz" }] });
    await topologies.addDecky({ topology, name: "desk", services, attachments: [{ lan: "office" }] });
    const { topology: live } = await topologies.deployTopology({ topology });
    for (const { name, attachments } of live?.deckies ?? [])
      for (const { lan, ip } of attachments) addresses.set(`${name}/${lan}`, ip);
  });
  afterAll(async () => {
    await swarm?.master.topologies.teardownTopology({ topology: id }).catch(() => undefined);
    listener?.close();
    await swarm?.dispose();
  });

  it("answers here on its gateway's ports alone, routes inside, and calls nobody here", async () => {
    const { address } = worker().host;
    await worker().host.run("nc", ["-z", "-w", "2", swarm.lab.masterAddress, String(port())]);
    expect(heard).toBe(1);
    expect(await isAsDesigned()).toBe(true);
    expect(heard).toBe(1);
    const reaches = async (to: string) => (await execa("nc", ["-z", "-w", "1", to, "6379"], { reject: false })).exitCode === 0;
    expect(await reaches(address)).toBe(true);
  });

  it("is put right by its agent after its rules, routes and what its host admits went", async () => {
    await inside("gateway", "nft", "delete", "table", "inet", "decnet-guard");
    await inside("desk", "ip", "route", "del", at("gateway/dmz").replace(/\d+$/, "0/24"));
    await worker().host.run("iptables", ["-F", "DOCKER-USER"]);
    await eventually(async () => (await repairsOf("gateway", "nothing keeps it from calling out")) === 1, 30_000);
    await eventually(async () => (await repairsOf("desk", "no route to")) === 1, 30_000);
    await eventually(isAsDesigned, 30_000);
  });

  it("is as it was after its engine was started again", async () => {
    const before = await repairsOf("gateway", "guard");
    await worker().host.restartEngine("SIGKILL");
    await eventually(async () => (await repairsOf("gateway", "guard")) > before, 60_000);
    await eventually(isAsDesigned, 60_000);
  });

  it("leaves nothing on its host", async () => {
    await swarm.master.topologies.teardownTopology({ topology: id });
    expect((await worker().host.run("iptables", ["-S", "DOCKER-USER"])).stdout).not.toContain("decnet-");
  });
});
