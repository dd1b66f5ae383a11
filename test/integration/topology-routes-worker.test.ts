import { createServer, type Server } from "node:net";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pidOf } from "../support/ask-engine.ts";
import { type Outsider, useOutsider } from "../support/outsider.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** DMZ ── gateway ── office, each with one decky more. This machine is outside of the worker, which can call it. */
describe("a topology on a worker, seen from this machine", () => {
  let swarm: Swarm;
  let outsider: Outsider;
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
    const pid = await pidOf(`${id}-${name}`, worker().host.socket);
    return worker().host.run("nsenter", ["-t", String(pid), "-n", ...command], { reject: false });
  };
  const asks = async (name: string, address: string, of: number) =>
    (await inside(name, "nc", "-z", "-w", "1", address, String(of))).exitCode === 0;
  const repairs = async (cause: string) => {
    const { operations } = await swarm.master.operations.listOperations({ filter: "kind=repair", pageSize: 100 });
    return operations.filter(({ plan, state }) => state === OperationState.SUCCEEDED && plan?.text.includes(cause) === true);
  };
  const repairsOf = async (name: string, cause: string) =>
    (await repairs(cause)).filter(({ decky }) => decky?.name === name).length;
  const answersOutsider = async (address: string) => (await outsider.greetingOf(address, 6379, "PING\r\n")) === "+PONG";
  const answering = async () => {
    const tried = [...addresses].map(async ([place, address]) => ((await answersOutsider(address)) ? [place] : []));
    return (await Promise.all(tried)).flat();
  };
  const isAsDesigned = async () =>
    (await asks("front", at("desk/office"), 6379)) &&
    (await asks("desk", at("front/dmz"), 6379)) &&
    !(await asks("gateway", swarm.lab.masterAddress, port())) &&
    !(await asks("desk", swarm.lab.masterAddress, port()));

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"] });
    outsider = await useOutsider(swarm.lab);
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
    await outsider?.dispose();
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

  it("is put right by its agent, once, after its rules, routes and what its host admits went", async () => {
    await worker().unseen(async () => {
      await inside("gateway", "nft", "delete", "table", "inet", "decnet-guard");
      await inside("desk", "ip", "route", "del", at("gateway/dmz").replace(/\d+$/, "0/24"));
      await worker().host.run("iptables", ["-F", "DOCKER-USER"]);
    });
    await eventually(async () => (await repairsOf("gateway", "nothing keeps it from calling out")) === 1, 30_000);
    await eventually(async () => (await repairsOf("desk", "no route to")) === 1, 30_000);
    await eventually(isAsDesigned, 30_000);
    // What went together is put right together.
    expect((await repairs("")).map(({ decky, reason }) => `${decky?.name}: ${reason}`).sort()).toEqual([
      expect.stringMatching(/^desk: /),
      expect.stringMatching(/^gateway: /),
    ]);
  });

  describe("where the host forwards for everybody, and the attacker has a route", () => {
    let table: string;
    let bridge: string;
    const nft = (...args: string[]) => worker().host.run("nft", args);

    beforeAll(async () => {
      const { host } = worker();
      await host.run("iptables", ["-P", "FORWARD", "ACCEPT"]);
      for (const lan of ["dmz", "office"])
        await outsider.run("ip", "route", "add", at(`gateway/${lan}`).replace(/\d+$/, "0/24"), "via", host.address);
      const { stdout } = await nft("list", "tables");
      table = /table inet (decnet-\S+)/.exec(stdout)?.[1] ?? expect.fail("no table");
      const [network = ""] = await host.docker(["network", "ls", "-q", "--filter", `name=^decnet-${id}-dmz$`]);
      bridge = `br-${network}`;
    });

    it("answers him on its gateway's ports alone, on no address of a decky", async () => {
      expect((await worker().host.run("iptables", ["-S", "FORWARD"])).stdout).toContain("-P FORWARD ACCEPT");
      expect(await answering()).toEqual([]);
      expect(await answersOutsider(worker().host.address)).toBe(true);
      expect(await isAsDesigned()).toBe(true);
    });

    it.each<[string, () => string[], string]>([
      ["was flushed", () => ["flush", "chain", "inet", table, "forward"], "were changed"],
      ["lets everybody pass first", () => ["insert", "rule", "inet", table, "visitors", "accept"], "were changed"],
      [
        "is not for the DMZ",
        () => ["delete", "element", "inet", table, "closed", `{ ${bridge} }`],
        "no rule keeps machines outside from the deckies of this LAN",
      ],
      [
        "takes the attacker for one of the DMZ",
        () => ["add", "element", "inet", table, "inside", `{ "eth0" . ${bridge} }`],
        "no rule keeps machines outside from the deckies of this LAN",
      ],
    ])("lets him in no longer than until the next drift check when the rule %s", async (_, harm, cause) => {
      const before = (await repairs(cause)).length;
      await worker().unseen(async () => {
        await worker().host.run("nft", harm());
        expect(await answersOutsider(at("front/dmz"))).toBe(true);
      });
      await eventually(async () => (await repairs(cause)).length > before && (await answering()).length === 0, 30_000);
      expect(await answersOutsider(worker().host.address)).toBe(true);
    });
  });

  it("says that the engine's chain for rules of others is gone, and what brings it back", async () => {
    for (const rule of [
      ["-D", "FORWARD", "-j", "DOCKER-USER"],
      ["-F", "DOCKER-USER"],
      ["-X", "DOCKER-USER"],
    ])
      await worker().host.run("iptables", rule);
    const gone = "the chain DOCKER-USER of this host's engine is gone: restart the engine, which makes it again";
    await eventually(async () => {
      const { topology } = await swarm.master.topologies.getTopology({ topology: id });
      return topology?.reason.includes(gone);
    }, 30_000);
  });

  it("is as it was as soon as its engine was started again, however seldom its agent looks", async () => {
    await worker().stop("SIGTERM");
    await worker().start({ DECNET_DRIFT_INTERVAL_MS: "3600000" });
    const before = await repairsOf("gateway", "guard");
    await worker().host.restartEngine("SIGKILL");
    await eventually(async () => (await repairsOf("gateway", "guard")) > before, 60_000);
    // What the engine was still starting then is the next look's affair.
    await worker().stop("SIGTERM");
    await worker().start();
    await eventually(isAsDesigned, 60_000);
    await eventually(() => answersOutsider(worker().host.address), 30_000);
  });

  it("leaves nothing on its host", async () => {
    await swarm.master.topologies.teardownTopology({ topology: id });
    expect((await worker().host.run("iptables", ["-S", "DOCKER-USER"])).stdout).not.toContain("decnet-");
    expect((await worker().host.run("nft", ["list", "tables"])).stdout).not.toContain("decnet-");
  });
});
