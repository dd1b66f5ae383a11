import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useEngineEvents } from "../support/engine-events.ts";
import { type Outsider, useOutsider } from "../support/outsider.ts";
import { bridgesOf, rulesAbout } from "../support/rules-about.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** Says who it is to everybody who comes: an operator's own server on his host. */
const server = (address: string, port: number, words: string) => `import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("${address}", ${port})); s.listen(8)
while True:
  c, _ = s.accept(); c.sendall(b"${words}\\n"); c.close()`;

/** Two topologies with the same names side by side on one worker, seen from a machine outside of it. */
describe("gateways on a worker", () => {
  let swarm: Swarm;
  let outsider: Outsider;
  const ids: Record<"red" | "blue", string> = { red: "", blue: "" };
  const decoys = { red: "", blue: "" };
  const worker = () => swarm.workers[0] ?? expect.fail("no worker");
  const gateway = (topologyId: string) => ({ topologyId, name: "gateway" });
  const services = [{ slug: "redis" }];

  const deploy = async (name: "red" | "blue", lanOf: (third: number) => string) => {
    const { topologies } = swarm.master;
    const made = await topologies.createTopology({ name, host: worker().name, publishOn: decoys[name] });
    await topologies.addLan({ topology: name, name: "dmz", isDmz: true, subnet: lanOf(0) });
    await topologies.addLan({ topology: name, name: "core", subnet: lanOf(1) });
    const attachments = [{ lan: "dmz" }, { lan: "core" }];
    await topologies.addDecky({ topology: name, name: "gateway", services, attachments, forwards: true });
    await topologies.addDecky({ topology: name, name: "inner", services, attachments: [{ lan: "core" }] });
    const { topology } = await topologies.deployTopology({ topology: name });
    expect(topology?.state).toBe(TopologyState.ACTIVE);
    ids[name] = made.topology?.id ?? "";
  };
  /** Everything of one topology that is on the host: containers, networks, rules. */
  const everythingOf = async (name: "red" | "blue") => {
    const { host } = worker();
    const networks = await host.docker([
      "network",
      "ls",
      "--no-trunc",
      "--filter",
      `name=${ids[name]}`,
      "--format",
      "{{.ID}} {{.Name}}",
    ]);
    const rules = (await host.run("nft", ["list", "ruleset"])).stdout;
    return {
      containers: [...(await worker().containers(ids[name]))].sort(),
      networks: networks.sort(),
      rules: rulesAbout(rules, { ...bridgesOf(networks), [decoys[name]]: "decoy" }),
    };
  };

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["http", "redis", "ssh"] });
    outsider = await useOutsider(swarm.lab);
    const { host } = worker();
    decoys.red = host.address.replace(/\d+$/, "221");
    decoys.blue = host.address.replace(/\d+$/, "222");
    for (const address of Object.values(decoys)) await host.run("ip", ["addr", "add", `${address}/24`, "dev", "eth0"]);
    host.spawn("python3", ["-c", server(host.address, 22, "operator")]);
    await eventually(async () => (await outsider.greetingOf(host.address, 22)) === "operator");
    await deploy("red", (third) => `10.60.${third}.0/24`);
    await deploy("blue", (third) => `10.61.${third}.0/24`);
  });
  afterAll(async () => {
    for (const topology of ["red", "blue"]) await swarm?.master.topologies.teardownTopology({ topology }).catch(() => undefined);
    await outsider?.dispose();
    await swarm?.dispose();
  });

  it("are told by their worker as they are, and a service that does not run is not said to (W-35, W-36)", async () => {
    const { topologies } = swarm.master;
    const { topology } = await topologies.getTopology({ topology: "red" });
    for (const { name, decky } of topology?.deckies ?? expect.fail("no topology")) {
      expect([name, decky?.state]).toEqual([name, DeckyState.RUNNING]);
      expect(decky?.services.map(({ slug, state }) => [slug, state])).toEqual([["redis", ServiceState.RUNNING]]);
    }
    const before = await everythingOf("red");
    const broken = { topology: "red", name: "broken", services: [{ slug: "quits" }], attachments: [{ lan: "core" }] };
    const failure = await topologies.addDecky(broken).then(() => expect.fail("it runs"), fromConnectError);
    expect(failure.operation?.error?.message).toMatch(/broken-quits exited with code 7/);
    expect(await everythingOf("red")).toEqual(before);
  });

  const askOf = (service: string): Promise<string> => {
    if (service === "http") return outsider.statusOf(decoys.red, 80);
    if (service === "datagrams") return outsider.echoOf(decoys.red, 7010, "hello");
    return outsider.greetingOf(decoys.red, 22).then((words) => words.slice(0, 4));
  };

  it.each([
    ["http", "200", "000"],
    ["datagrams", "hello", ""],
    ["ssh", "SSH-", ""],
  ])(
    "publish an added service until it is removed, while base and siblings stay untouched (%s; W-21, W-22)",
    async (service, answer, silence) => {
      const ask = () => askOf(service);
      const { host } = worker();
      const { mutations } = swarm.master;
      expect(await ask()).toBe(silence);
      const before = await everythingOf("red");
      const events = await useEngineEvents(`${ids.red}-`, host.socket);
      const added = await mutations.addService({ decky: gateway(ids.red), service });
      expect(added.operation).toMatchObject({ state: OperationState.SUCCEEDED, receipt: { othersUnchanged: true } });
      expect(await ask()).toBe(answer);
      const made = `${ids.red}-gateway-${service}`;
      const logged = await events.until(`start ${made}`);
      await events.dispose();
      // What the engine did is what the receipt says: one container was made, and no other was touched.
      expect(new Set(logged.map((line) => line.split(" ")[1]))).toEqual(new Set([made]));
      const touched = added.operation?.receipt?.containers.filter(({ planned }) => planned).map((each) => each.service);
      expect(touched).toEqual([service]);
      const after = await everythingOf("red");
      expect(after.containers.filter(([name]) => name !== made)).toEqual(before.containers);
      if (service === "http") expect((await host.docker(["logs", made])).join("\n")).toContain(outsider.address);
      // The operator's own server has that port on the host's own address.
      expect(await outsider.greetingOf(host.address, 22)).toBe("operator");
      await mutations.removeService({ decky: gateway(ids.red), service });
      expect(await ask()).toBe(silence);
      expect(await outsider.greetingOf(host.address, 22)).toBe("operator");
      expect(await everythingOf("red")).toEqual(before);
    },
  );

  it("publish nothing on an address that an operator's server listens on, wherever that listens", async () => {
    const { host } = worker();
    const everywhere = host.spawn("python3", ["-c", server("0.0.0.0", 80, "operator everywhere")]);
    await eventually(async () => (await outsider.greetingOf(host.address, 80)) === "operator everywhere");
    await expect(swarm.master.mutations.addService({ decky: gateway(ids.red), service: "http" })).rejects.toThrow(
      "PORT_CONFLICT",
    );
    expect(await outsider.greetingOf(decoys.red, 80)).toBe("operator everywhere");
    everywhere.kill("SIGKILL");
  });

  it("of two topologies with the same names live side by side, and one goes without a trace (W-20, W-24, W-33)", async () => {
    const [red, blue] = [await everythingOf("red"), await everythingOf("blue")];
    expect(red.containers.map(([name]) => name.replace(ids.red, ""))).toEqual(
      blue.containers.map(([name]) => name.replace(ids.blue, "")),
    );
    expect([red.networks.length, blue.networks.length]).toEqual([2, 2]);
    expect([red.rules.length > 0, blue.rules.length > 0]).toEqual([true, true]);
    const { topology } = await swarm.master.topologies.teardownTopology({ topology: "red" });
    expect(topology?.state).toBe(TopologyState.TORN_DOWN);
    expect(await everythingOf("red")).toEqual({ containers: [], networks: [], rules: [] });
    expect(await everythingOf("blue")).toEqual(blue);
    expect(await outsider.greetingOf(decoys.blue, 6379, "PING\r\n")).toBe("+PONG");
    const { operations } = await swarm.master.operations.listOperations({ filter: "kind=repair" });
    expect(operations).toEqual([]);
  });

  it("are torn down when their host was seen without them, and it keeps nothing of the last one (W-34)", async () => {
    const { topologies } = swarm.master;
    const stateNow = async () => (await topologies.getTopology({ topology: "blue" })).topology?.state;
    const blue = await everythingOf("blue");
    await worker().stop("SIGTERM");
    await topologies.teardownTopology({ topology: "blue", options: { wait: Wait.ACCEPTED } });
    expect(await stateNow()).toBe(TopologyState.TEARING_DOWN);
    await expect(topologies.deleteTopology({ topology: "blue" })).rejects.toThrow("is tearing down");
    expect(await everythingOf("blue")).toEqual(blue);
    await worker().start();
    await eventually(async () => (await stateNow()) === TopologyState.TORN_DOWN, 60_000);
    await expect(topologies.resyncTopology({ topology: "blue" })).rejects.toThrow("is torn down");
    expect(await everythingOf("blue")).toEqual({ containers: [], networks: [], rules: [] });
    expect((await worker().host.run("nft", ["list", "ruleset"])).stdout).not.toContain("decnet");
    expect((await worker().host.run("iptables", ["-S"])).stdout).not.toContain("decnet-");
    expect(await outsider.greetingOf(worker().host.address, 22)).toBe("operator");
    expect((await execa("ip", ["netns", "list"])).stdout).toContain(outsider.name);
  });
});
