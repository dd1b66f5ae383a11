import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createHold } from "../support/hold-steps.ts";
import { becomes, designNested, readTopology } from "../support/nested-topology.ts";
import { drawSubnets } from "../support/own-subnets.ts";
import { containersOf, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const accepted = { wait: Wait.ACCEPTED };
const redis = [{ slug: "redis" }];
const quits = [{ slug: "quits" }];

describe("an edit of a live topology", () => {
  const hold = createHold();
  const topology = "edited";
  const subnetOf = drawSubnets();
  let master: TestMaster;
  let id: string;
  let before: { design: unknown; version: number; containers: Map<string, string> };

  const read = async () => (await readTopology(master, topology)) ?? expect.fail("no topology");
  /** All of a design that an edit can change. */
  const designOf = ({ lans, deckies }: Awaited<ReturnType<typeof read>>) => ({
    lans: lans.map(({ name, subnet }) => `${name} ${subnet}`),
    deckies: deckies.map(({ name, forwards, attachments }) => ({
      name,
      forwards,
      places: attachments.map(({ lan, ip, mac }) => `${lan} ${ip} ${mac}`),
    })),
  });
  const operationOf = async (of: string) =>
    (await master.operations.getOperation({ id: of })).operation ?? expect.fail("no operation");
  const ended = (of: string) =>
    eventually(async () => {
      const found = await operationOf(of);
      return found.state > OperationState.RUNNING ? found : undefined;
    }, 60_000);
  /** The design is what it was, and so is what runs: the same containers, unless some of them were made again. */
  const isAsBefore = async (version: number, again: RegExp = /^$/) => {
    const now = await becomes(master, topology, TopologyState.ACTIVE);
    expect({ design: designOf(now), version: now.version, reason: now.reason }).toEqual({
      design: before.design,
      version,
      reason: "",
    });
    const containers = await containersOf(id);
    const kept = (all: Map<string, string>) => [...all].filter(([name]) => !again.test(name));
    expect([...containers.keys()].sort()).toEqual([...before.containers.keys()].sort());
    expect(kept(containers)).toEqual(kept(before.containers));
    expect(now.deckies.map(({ decky }) => decky?.desiredRevision === decky?.appliedRevision)).toEqual(
      now.deckies.map(() => true),
    );
  };

  beforeAll(async () => {
    master = await useMaster({ boundary: hold.boundary });
    id = await designNested(master, topology, "local", "redis", { dmz: subnetOf(0), core: subnetOf(1) });
    await master.topologies.deployTopology({ topology });
    await master.topologies.addLan({ topology, name: "far", subnet: subnetOf(2) });
    await master.topologies.addDecky({ topology, name: "deep", services: redis, attachments: [{ lan: "far" }] });
  });
  beforeEach(async () => {
    const now = await becomes(master, topology, TopologyState.ACTIVE);
    before = { design: designOf(now), version: now.version, containers: await containersOf(id) };
  });
  // However a test ends, nothing is held after it.
  afterEach(() => hold.letGo());
  afterAll(async () => {
    hold.letGo();
    await master?.topologies.teardownTopology({ topology }).catch(() => undefined);
    await master?.dispose();
  });

  it("that adds a decky which cannot be deployed leaves nothing of it, neither here nor in the design, and says so", async () => {
    const since = timestampFromDate(new Date());
    const failed = await master.topologies
      .addDecky({ topology, name: "ill", services: quits, attachments: [{ lan: "core" }] })
      .catch(fromConnectError);
    expect(failed).toMatchObject({ reason: "APPLY_FAILED" });
    const { operations } = await master.operations.listOperations({ filter: `topology=${topology},kind=edit_topology` });
    const operation = operations[0] ?? expect.fail("no operation");
    expect(operation).toMatchObject({ state: OperationState.FAILED, error: { undone: true } });
    // Which of the two is seen depends on when the look falls.
    const cause = "ill: \\S+-ill-quits (exited with code 7|ended and was restarted)";
    const undone = `the design is as before the edit again, version ${before.version + 2}`;
    expect(operation.error?.message).toMatch(new RegExp(`^${cause}.*; ${undone}$`));
    await isAsBefore(before.version + 2);
    expect(await dockerLines(["volume", "ls", "-q", "--filter", `name=decnet_${id}-ill`])).toEqual([]);
    const told = [];
    const patterns = [`topology.${id}.design`];
    for await (const { item } of master.events.subscribe({ patterns, since }, { timeoutMs: 20_000 })) {
      if (item.case === "event") told.push(item.value.data);
      if (told.length === 2) break;
    }
    const common = { topology, operation: operation.id, actor: "admin" };
    expect(told).toMatchObject([
      { ...common, design_version: before.version + 1, taken_back: false },
      { ...common, design_version: before.version + 2, taken_back: true },
    ]);
  });

  it("that joins two LANs by a decky which quits closes the way again for those that had it already", async () => {
    const routes = async () =>
      (await master.fleet.getDecky({ decky: { name: "deep", topologyId: id } })).decky?.desiredRevision ?? 0;
    const revision = await routes();
    const bridge = { name: "bridge", services: quits, attachments: [{ lan: "core" }, { lan: "far" }], forwards: true };
    await expect(master.topologies.addDecky({ topology, ...bridge })).rejects.toThrow(
      /quits (exited with code 7|ended and was restarted)/,
    );
    await isAsBefore(before.version + 2);
    // There and back.
    expect(await routes()).toBe(revision + 2);
    const { operations } = await master.operations.listOperations({ filter: `decky=${topology}/deep` });
    expect(operations.slice(0, 2).map(({ state, reason }) => [OperationState[state], reason.replace(/op-\w+/, "op")])).toEqual([
      ["SUCCEEDED", "undo of op"],
      ["SUCCEEDED", ""],
    ]);
  });

  it("that attaches a decky to an address which somebody else has by now leaves it where it was", async () => {
    const ip = subnetOf(2).replace("0/24", "77");
    const network = ["--network", `decnet-${id}-far`, "--ip", ip];
    const [held = ""] = await dockerLines(["run", "-d", ...network, "--entrypoint", "sleep", debianBase, "600"]);
    try {
      const attachment = { lan: "far", ip };
      await expect(master.topologies.attachDecky({ topology, name: "inner", attachment })).rejects.toThrow(
        `; the design is as before the edit again, version ${before.version + 2}`,
      );
      await isAsBefore(before.version + 2, /-inner/);
    } finally {
      await dockerLines(["rm", "-f", held]);
    }
  });

  it("that is cancelled while it runs is taken back", async () => {
    const reached = hold.at(`${id}-inner`, "recreate");
    const begun = await master.topologies.attachDecky({ topology, name: "inner", attachment: { lan: "far" }, options: accepted });
    const of = begun.operation?.id ?? "";
    await reached;
    expect((await read()).version).toBe(before.version + 1);
    await master.operations.cancelOperation({ id: of, reason: "not now" });
    hold.letGo();
    const end = await ended(of);
    expect(end).toMatchObject({ state: OperationState.CANCELLED, error: { undone: true } });
    expect(end.error?.message).toBe(`cancelled; the design is as before the edit again, version ${before.version + 2}`);
    await isAsBefore(before.version + 2, /-inner/);
  });

  it("that is cancelled before it began is taken back, and what it waited for goes on", async () => {
    const reached = hold.at(`${id}-inner-http`);
    const decky = { name: "inner", topologyId: id };
    const first = await master.mutations.addService({ decky, service: "http", options: accepted });
    await reached;
    const begun = await master.topologies.attachDecky({ topology, name: "inner", attachment: { lan: "far" }, options: accepted });
    const of = begun.operation?.id ?? "";
    await master.operations.cancelOperation({ id: of });
    expect(await ended(of)).toMatchObject({ state: OperationState.CANCELLED, error: { undone: true } });
    hold.letGo();
    expect((await ended(first.operation?.id ?? "")).state).toBe(OperationState.SUCCEEDED);
    await master.mutations.removeService({ decky, service: "http" });
    await isAsBefore(before.version + 2);
  });

  it("that removes a decky and is cancelled leaves it where it was", async () => {
    const reached = hold.at(`${id}-deep`, "remove");
    const begun = await master.topologies.removeDecky({ topology, name: "deep", options: accepted });
    const of = begun.operation?.id ?? "";
    await reached;
    await master.operations.cancelOperation({ id: of });
    hold.letGo();
    expect(await ended(of)).toMatchObject({ state: OperationState.CANCELLED, error: { undone: true } });
    await isAsBefore(before.version + 2, /-deep/);
  });

  it("that fails takes nothing back of what somebody else edited meanwhile", async () => {
    const reached = hold.at(`${id}-ill`);
    const add = { name: "ill", services: quits, attachments: [{ lan: "core" }] };
    const begun = await master.topologies.addDecky({ topology, ...add, options: accepted });
    await reached;
    await master.topologies.addDecky({ topology, name: "mail", services: redis, attachments: [{ lan: "core" }] });
    hold.letGo();
    expect(await ended(begun.operation?.id ?? "")).toMatchObject({ state: OperationState.FAILED, error: { undone: true } });
    const now = await becomes(master, topology, TopologyState.ACTIVE);
    expect(now.deckies.map(({ name }) => name).sort()).toEqual(["deep", "gateway", "inner", "mail"]);
    await master.topologies.removeDecky({ topology, name: "mail" });
    await isAsBefore(before.version + 4);
  });

  it("that a master was stopped in the middle of is taken back by the next one", async () => {
    const reached = hold.at(`${id}-ill-quits`);
    const add = { name: "ill", services: quits, attachments: [{ lan: "core" }] };
    const begun = await master.topologies.addDecky({ topology, ...add, options: accepted });
    await reached;
    const restarted = master.restart();
    hold.letGo();
    await restarted;
    expect(await ended(begun.operation?.id ?? "")).toMatchObject({ state: OperationState.FAILED, error: { undone: true } });
    await isAsBefore(before.version + 2);
  });

  it("of which the failure is to be kept stays designed", async () => {
    const options = { onFailure: 2 };
    const add = { name: "ill", services: quits, attachments: [{ lan: "core" }] };
    await expect(master.topologies.addDecky({ topology, ...add, options })).rejects.toThrow("because the failure is kept");
    const now = await becomes(master, topology, TopologyState.DEGRADED);
    expect([now.version, now.deckies.map(({ name }) => name)]).toEqual([before.version + 1, ["gateway", "inner", "deep", "ill"]]);
    await master.topologies.removeDecky({ topology, name: "ill" });
    await isAsBefore(before.version + 2);
  });
});
