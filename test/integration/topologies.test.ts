import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** Where a topology is, and how the test looks at it there. */
interface Site {
  readonly host: string;
  readonly master: TestMaster;
  docker(...args: string[]): Promise<string[]>;
  containers(prefix: string): Promise<Map<string, string>>;
  dispose(): Promise<void>;
}

async function useThisHost(): Promise<Site> {
  const master = await useMaster();
  const docker = (...args: string[]) => dockerLines(args);
  return { host: "local", master, docker, containers: containersOf, dispose: () => master.dispose() };
}

async function useWorker(): Promise<Site> {
  const swarm = await useSwarm({ hosts: 1, slugs: ["redis", "http"] });
  const [worker] = swarm.workers;
  if (worker === undefined) throw new Error("no worker");
  return {
    host: worker.name,
    master: swarm.master,
    docker: (...args) => worker.host.docker(args),
    containers: (prefix) => worker.containers(prefix),
    dispose: () => swarm.dispose(),
  };
}

/** A worker is a host of its own: this machine is outside of it, and sees of it what an attacker sees. */
describe("the gateway of a topology on a worker", () => {
  let swarm: Swarm;
  let id: string;
  const gateway = () => ({ topologyId: id, name: "gateway" });
  const worker = () => swarm.workers[0] ?? expect.fail("no worker");
  const fetchStatus = async (address: string) =>
    (await execa("curl", ["-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", `http://${address}/`], { reject: false }))
      .stdout;

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["http", "redis", "ssh"] });
    const { topologies } = swarm.master;
    const [{ name: host, host: machine }] = [worker()];
    const made = await topologies.createTopology({ name: "corp", host, publishOn: machine.address });
    id = made.topology?.id ?? expect.fail("no topology");
    await topologies.addLan({ topology: id, name: "dmz", isDmz: true });
    await topologies.addDecky({
      topology: id,
      name: "gateway",
      services: [{ slug: "redis" }],
      attachments: [{ lan: "dmz" }],
      forwards: true,
    });
    await topologies.deployTopology({ topology: id });
  });
  afterAll(async () => {
    await swarm?.master.topologies.teardownTopology({ topology: id }).catch(() => undefined);
    await swarm?.dispose();
  });

  it("answers on an address of its host as soon as a service is added, which sees the visitor's own address", async () => {
    const { address } = worker().host;
    expect(await fetchStatus(address)).toBe("000");
    const before = await worker().containers(id);
    const { operation } = await swarm.master.mutations.addService({ decky: gateway(), service: "http" });
    expect(operation?.plan?.steps.map(({ verb }) => verb)).toEqual(["write-project", "create", "settle", "publish"]);
    expect(await fetchStatus(address)).toBe("200");
    const after = await worker().containers(id);
    for (const [name, facts] of before) expect(after.get(name)).toBe(facts);
    // The engine writes down what a decoy says a moment after it was said.
    const log = async () => (await worker().host.docker(["logs", `${id}-gateway-http`])).join("\n");
    await eventually(async () => (await log()).includes(swarm.lab.masterAddress));
  });

  it("is published again, with its cause, after its rules were removed by hand", async () => {
    const { address } = worker().host;
    const tables = (await worker().host.run("nft", ["list", "tables", "ip"])).stdout;
    const [, table = ""] = /table ip (decnet-published-\S+)/.exec(tables) ?? [];
    await worker().host.run("nft", ["delete", "table", "ip", table]);
    expect(await fetchStatus(address)).toBe("000");
    await eventually(async () => (await fetchStatus(address)) === "200", 30_000);
    const cause = await eventually(async () => {
      const { operations } = await swarm.master.operations.listOperations({ filter: "kind=repair" });
      return operations[0]?.plan?.text;
    });
    expect(cause).toContain("publish");
  });

  it("is closed again when the service is removed", async () => {
    const { operation } = await swarm.master.mutations.removeService({ decky: gateway(), service: "http" });
    expect(operation?.plan?.steps[0]?.verb).toBe("unpublish");
    expect(await fetchStatus(worker().host.address)).toBe("000");
  });

  it("takes no port that its host uses itself", async () => {
    const listener = worker().host.spawn("python3", ["-m", "http.server", "80"]);
    await eventually(async () => (await fetchStatus(worker().host.address)) === "200", 10_000);
    await expect(swarm.master.mutations.addService({ decky: gateway(), service: "http" })).rejects.toThrow("PORT_CONFLICT");
    expect(await fetchStatus(worker().host.address)).toBe("200");
    listener.kill("SIGKILL");
  });

  it("leaves no rule behind", async () => {
    await swarm.master.topologies.teardownTopology({ topology: id });
    const rules = await worker().host.run("nft", ["list", "ruleset"]);
    expect(rules.stdout).not.toContain("decnet-published");
    expect((await worker().host.run("iptables", ["-S"])).stdout).not.toContain("decnet-");
  });
});

/** Two LANs, a gateway between them, and a decky behind it. */
describe.each([
  ["this host", useThisHost],
  ["a worker", useWorker],
])("a topology on %s", (_, useSite) => {
  let site: Site;
  let master: TestMaster;
  let topology: string;
  let id: string;
  const network = (lan: string) => `decnet-${id}-${lan}`;
  const inner = () => ({ topologyId: id, name: "inner" });
  const networks = () => site.docker("network", "ls", "-q", "--filter", `name=^decnet-${id}-`);

  beforeAll(async () => {
    site = await useSite();
    master = site.master;
    topology = `${master.prefix}-corp`;
    const made = await master.topologies.createTopology({ name: topology, host: site.host });
    id = made.topology?.id ?? expect.fail("no topology");
  });
  afterAll(async () => {
    await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
    await site.dispose();
  });

  it("is designed step by step, and says what is wrong until it can be deployed", async () => {
    expect((await master.topologies.validateTopology({ topology })).issues.map(({ code }) => code)).toEqual(["DMZ_MISSING"]);
    const services = [{ slug: "redis" }];
    await master.topologies.addLan({ topology, name: "dmz", isDmz: true });
    await master.topologies.addLan({ topology, name: "core" });
    const attachments = [{ lan: "dmz" }, { lan: "core" }];
    await master.topologies.addDecky({ topology, name: "gateway", services, attachments, forwards: true });
    const added = await master.topologies.addDecky({ topology, name: "inner", services, attachments: [{ lan: "core" }] });
    expect(added.topology?.version).toBe(5);
    expect(await master.topologies.validateTopology({ topology })).toMatchObject({ valid: true, issues: [] });
  });

  it("is deployed: every decky runs, on the LANs that are its own", async () => {
    const { topology: deployed, operation } = await master.topologies.deployTopology({ topology });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(deployed).toMatchObject({ state: TopologyState.ACTIVE, reason: "" });
    expect(deployed?.deckies.map(({ name, decky }) => [name, DeckyState[decky?.state ?? 0]])).toEqual([
      ["gateway", "RUNNING"],
      ["inner", "RUNNING"],
    ]);
    const seen = await site.docker(
      "inspect",
      "--format",
      "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
      `${id}-gateway`,
      `${id}-inner`,
    );
    expect(seen.map((line) => line.trim())).toEqual([`${network("core")} ${network("dmz")}`, network("core")]);
    const internal = await site.docker("network", "inspect", "--format", "{{.Internal}}", network("dmz"), network("core"));
    expect(internal).toEqual(["false", "true"]);
  });

  it("has a service added to its inner decky, and nothing else is touched", async () => {
    const before = await site.containers(id);
    const { operation } = await master.mutations.addService({ decky: inner(), service: "http" });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, receipt: { othersUnchanged: true } });
    const after = await site.containers(id);
    for (const [name, facts] of before) expect(after.get(name)).toBe(facts);
    expect([...after.keys()].filter((name) => !before.has(name))).toEqual([`${id}-inner-http`]);
    const { topology: seen } = await master.topologies.getTopology({ topology });
    const services = seen?.deckies.find(({ name }) => name === "inner")?.decky?.services ?? [];
    expect(services.map(({ slug, state }) => [slug, state])).toEqual([
      ["redis", ServiceState.RUNNING],
      ["http", ServiceState.RUNNING],
    ]);
  });

  it("keeps its host from being emptied, when that is a worker", async () => {
    if (site.host === "local") return;
    const drained = master.swarm.drainHost({ name: site.host, options: { dryRun: true } }).catch(fromConnectError);
    expect(await drained).toMatchObject({ reason: "HOST_HAS_TOPOLOGIES", next: ["Tear them down first: decnet topology list"] });
  });

  it("is torn down when everything of it is gone", async () => {
    const { topology: gone } = await master.topologies.teardownTopology({ topology });
    expect(gone?.state).toBe(TopologyState.TORN_DOWN);
    expect([...(await site.containers(id)).keys()]).toEqual([]);
    expect(await networks()).toEqual([]);
    await master.topologies.deleteTopology({ topology });
    await expect(master.topologies.getTopology({ topology })).rejects.toThrow("no topology");
  });
});
