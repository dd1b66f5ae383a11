import { fromConnectError } from "@decnet/common/rpc/errors";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dockerLines, type TestMaster, useMaster } from "../support/use-master.ts";

/** Two installations on one engine: neither has the other in its database. */
describe("networks of topologies on an engine that others use as well", () => {
  let masters: readonly TestMaster[];
  let foreign: string;
  const master = (at: number) => masters[at] ?? expect.fail("no master");
  const foreignSubnet = "10.99.7.0/24";

  beforeAll(async () => {
    masters = await Promise.all([useMaster(), useMaster()]);
    foreign = `${master(0).prefix}-foreign`;
    await execa("docker", ["network", "create", "--subnet", foreignSubnet, foreign]);
  });
  afterAll(async () => {
    for (const { topologies } of masters ?? [])
      for (const { id } of (await topologies.listTopologies({})).topologies)
        await topologies.teardownTopology({ topology: id }).catch(() => undefined);
    await execa("docker", ["network", "rm", foreign], { reject: false });
    await Promise.all((masters ?? []).map((each) => each.dispose()));
  });

  it("differ when two masters each deploy a blank topology", async () => {
    const deployed: string[] = [];
    for (const [at, { topologies }] of masters.entries()) {
      const made = await topologies.createTopology({ name: `blank-${at}`, withDmz: true });
      const topology = made.topology?.id ?? expect.fail("no topology");
      const after = await topologies.deployTopology({ topology });
      expect(after.operation?.error?.message ?? "").toBe("");
      expect(after.topology?.state).toBe(TopologyState.ACTIVE);
      deployed.push(after.topology?.lans[0]?.subnet ?? "");
      const there = await dockerLines([
        ...["network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}}{{end}}"],
        `decnet-${topology}-dmz`,
      ]);
      expect(there).toEqual([after.topology?.lans[0]?.subnet]);
    }
    expect(new Set(deployed).size).toBe(2);
  });

  it("are not those of anybody else when they are named, and it is said whose they are", async () => {
    const { topologies } = master(0);
    const added = await topologies
      .addLan({ topology: "blank-0", name: "core", subnet: "10.99.7.128/25" })
      .catch(fromConnectError);
    expect(added).toMatchObject({
      reason: "TOPOLOGY_INVALID",
      message: expect.stringContaining(`10.99.7.128/25 overlaps ${foreignSubnet} of the Docker network ${foreign}`),
    });
    await topologies.createTopology({ name: "drawn" });
    const drawn = await topologies
      .addLan({ topology: "drawn", name: "dmz", isDmz: true, subnet: foreignSubnet })
      .catch(fromConnectError);
    expect(drawn).toMatchObject({ reason: "TOPOLOGY_INVALID", message: expect.stringContaining(foreign) });
    const design = { lans: [{ name: "dmz", isDmz: true, subnet: foreignSubnet }], deckies: [] };
    const imported = await topologies.createTopology({ name: "imported", design }).catch(fromConnectError);
    expect(imported).toMatchObject({ reason: "TOPOLOGY_INVALID", message: expect.stringContaining(foreign) });
  });

  it("of one that was drawn before somebody took them are refused by the deploy", async () => {
    const { topologies } = master(1);
    const subnet = "10.99.8.0/24";
    await topologies.createTopology({ name: "early" });
    await topologies.addLan({ topology: "early", name: "dmz", isDmz: true, subnet });
    await topologies.addDecky({ topology: "early", name: "web", services: [{ slug: "http" }], attachments: [{ lan: "dmz" }] });
    expect((await topologies.validateTopology({ topology: "early" })).issues).toEqual([]);
    const late = `${foreign}-late`;
    await execa("docker", ["network", "create", "--subnet", subnet, late]);
    try {
      const refused = await topologies.deployTopology({ topology: "early" }).catch(fromConnectError);
      expect(refused).toMatchObject({ reason: "TOPOLOGY_UNDEPLOYABLE", message: expect.stringContaining(late) });
      expect((await topologies.validateTopology({ topology: "early" })).issues).toMatchObject([{ code: "SUBNET_OVERLAP" }]);
    } finally {
      await execa("docker", ["network", "rm", late]);
    }
  });
});
