import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createHold } from "../support/hold-steps.ts";
import { becomes, designNested, readTopology } from "../support/nested-topology.ts";
import { drawSubnets } from "../support/own-subnets.ts";
import { dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a deploy of a topology", () => {
  const hold = createHold();
  let master: TestMaster;
  let ids: string[];
  const things = async (id: string) => [
    ...(await dockerLines(["ps", "-a", "--format", "{{.Names}}", "--filter", `name=^/${id}-`])),
    ...(await dockerLines(["network", "ls", "--format", "{{.Name}}", "--filter", `name=^decnet-${id}-`])),
    ...(await dockerLines(["volume", "ls", "-q", "--filter", `name=^decnet_${id}-`])),
  ];
  const make = async (name: string, service?: string) => {
    // Another installation on this engine may choose the same network at the same moment.
    const subnetOf = drawSubnets();
    const id = await designNested(master, name, "local", service, { dmz: subnetOf(0), core: subnetOf(1) });
    ids.push(id);
    return id;
  };

  beforeAll(async () => {
    ids = [];
    master = await useMaster({ boundary: hold.boundary });
  });
  afterAll(async () => {
    hold.letGo();
    for (const topology of ids ?? []) await master.topologies.teardownTopology({ topology }).catch(() => undefined);
    await master?.dispose();
  });

  // However a test ends, nothing is held after it.
  afterEach(() => hold.letGo());

  it("that is cancelled in the middle says who did it; what was made stays, and a resync makes the rest", async () => {
    const topology = await make("half");
    const reached = hold.at(`${topology}-inner`);
    const begun = await master.topologies.deployTopology({ topology, options: { wait: Wait.ACCEPTED } });
    const id = begun.operation?.id ?? "";
    await reached;
    await eventually(async () => (await readTopology(master, topology))?.deckies[0]?.decky?.appliedRevision === 1, 60_000);
    await master.operations.cancelOperation({ id, reason: "not now" });
    hold.letGo();
    const after = await becomes(master, topology, TopologyState.DEGRADED);
    expect(after.reason).toBe("inner: absent, its deploy was cancelled by admin");
    expect((await master.operations.getOperation({ id })).operation?.state).toBe(OperationState.CANCELLED);
    expect((await things(topology)).filter((name) => name.includes("inner"))).toEqual([]);
    expect((await master.swarm.listOrphans({ name: "local" })).orphans).toEqual([]);
    const resynced = await master.topologies.resyncTopology({ topology });
    expect(resynced.topology).toMatchObject({ state: TopologyState.ACTIVE, reason: "" });
  });

  it("that is cancelled before anything stands has failed, leaves nothing, and can be deleted", async () => {
    const topology = await make("none");
    // Neither of the two gets past its base.
    const reached = hold.at(topology);
    const begun = await master.topologies.deployTopology({ topology, options: { wait: Wait.ACCEPTED } });
    await reached;
    await master.operations.cancelOperation({ id: begun.operation?.id ?? "" });
    hold.letGo();
    expect((await becomes(master, topology, TopologyState.FAILED)).reason).toBe("cancelled by admin");
    expect(await things(topology)).toEqual([]);
    await master.topologies.deleteTopology({ topology });
    await expect(master.topologies.getTopology({ topology })).rejects.toThrow("no topology");
  });

  it("of which one decky fails is degraded, and says which, in which container, with which exit code", async () => {
    const topology = await make("ill", "quits");
    const failed = await master.topologies.deployTopology({ topology }).catch(fromConnectError);
    expect(failed).toMatchObject({ reason: "APPLY_FAILED" });
    const after = await becomes(master, topology, TopologyState.DEGRADED);
    expect(after.reason).toMatch(/^inner: absent, its deploy failed: \S+-inner-quits exited with code 7/);
    expect((await things(topology)).filter((name) => name.includes("inner"))).toEqual([]);
    // One that is kept as it failed is there, and is told as it is.
    const kept = await master.topologies.resyncTopology({ topology, options: { onFailure: 2 } }).catch(fromConnectError);
    expect(kept).toMatchObject({ reason: "APPLY_FAILED" });
    const shown = await eventually(async () => {
      const reason = (await readTopology(master, topology))?.reason ?? "";
      return reason.includes("container") ? reason : undefined;
    }, 30_000);
    expect(shown).toMatch(new RegExp(`^inner: degraded, .*quits: .*\\(container ${topology}-inner-quits\\)$`));
  });
});
