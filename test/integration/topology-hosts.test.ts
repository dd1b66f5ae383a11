import { fromConnectError } from "@decnet/common/rpc/errors";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { becomes, designNested, readTopology } from "../support/nested-topology.ts";
import { drawSubnets } from "../support/own-subnets.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

describe("the host of a topology", () => {
  const subnetOf = drawSubnets();
  let swarm: Swarm;
  const host = () => swarm.workers[0] ?? expect.fail("no worker");
  const names = () => host().host.docker(["ps", "-a", "--format", "{{.Names}}"]);

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"] });
  });
  afterAll(() => swarm?.dispose());

  const rejoin = async () => {
    await host().stop("SIGKILL");
    const { secret } = await swarm.master.swarm.createJoinToken({ hostName: host().name });
    await host().agent("join", secret, "--again");
    await host().start();
  };

  it("is not drained while it has one, which is named; drained, it gets none", async () => {
    const { master } = swarm;
    const { name } = host();
    const topology = await designNested(master, "corp", name, "redis", { dmz: subnetOf(0), core: subnetOf(1) });
    await master.swarm.drainHost({ name });
    const refused = await master.topologies.deployTopology({ topology }).catch(fromConnectError);
    expect(refused).toMatchObject({ reason: "HOST_DRAINING" });
    expect((await readTopology(master, topology))?.state).toBe(TopologyState.PENDING);
    await master.swarm.activateHost({ name });
    expect((await master.topologies.deployTopology({ topology })).topology?.state).toBe(TopologyState.ACTIVE);
    const drained = await master.swarm.drainHost({ name }).catch(fromConnectError);
    expect(drained).toMatchObject({ reason: "HOST_HAS_TOPOLOGIES", message: expect.stringContaining("the topology corp,") });
  });

  it("takes it down with itself when it is decommissioned: it is torn down when all of it is gone", async () => {
    const { master } = swarm;
    const { name } = host();
    await designNested(master, "sketch", name, "redis", { dmz: subnetOf(2), core: subnetOf(3) });
    const dry = await master.swarm.decommissionHost({ name, options: { dryRun: true } });
    expect(dry.operation?.plan?.text.split("\n")).toEqual(["teardown corp/gateway", "teardown corp/inner"]);
    await master.swarm.decommissionHost({ name });
    const gone = await becomes(master, "corp", TopologyState.TORN_DOWN);
    expect(gone.deckies.every(({ decky }) => decky === undefined)).toBe(true);
    expect(await names()).toEqual([]);
    await master.topologies.deleteTopology({ topology: "corp" });
    // One that was only designed is still there, and has no host to be deployed on.
    const refused = await master.topologies.deployTopology({ topology: "sketch" }).catch(fromConnectError);
    expect(refused).toMatchObject({ reason: "HOST_NOT_FOUND" });
    await master.topologies.deleteTopology({ topology: "sketch" });
    await rejoin();
  });

  it("that is forgotten by force says that what ran there may still be there, where it can be found as orphans", async () => {
    const { master } = swarm;
    const { name } = host();
    const topology = await designNested(master, "lost", name, "redis", { dmz: subnetOf(0), core: subnetOf(1) });
    await master.topologies.deployTopology({ topology });
    await host().stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected(name)));
    const { host: forgotten } = await master.swarm.decommissionHost({ name, force: true });
    expect(forgotten?.state).toBe(HostState.DECOMMISSIONED);
    const reason = `host ${name} was forgotten while it was away: what ran there may still be there`;
    expect(await readTopology(master, topology)).toMatchObject({ state: TopologyState.TORN_DOWN, reason });
    await master.topologies.deleteTopology({ topology });
    expect(await names()).toHaveLength(4);
    await rejoin();
    const { others } = await master.swarm.listOrphans({ name });
    expect(others).toMatchObject([{ kept: false }]);
    const installation = others[0]?.installation ?? "";
    await master.swarm.removeOrphans({ name, installation });
    expect(await names()).toEqual([]);
    expect((await master.swarm.listOrphans({ name })).others).toEqual([]);
  });
});
