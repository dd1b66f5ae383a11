import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { applyFleet, everywhere, reasonOf } from "../support/swarm-changes.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

describe("a host that is taken out of service", () => {
  let swarm: Swarm;
  let workers: [Worker, Worker, Worker];

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 3, slugs: ["redis"] });
    const [first, second, third] = swarm.workers;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three workers are needed");
    workers = [first, second, third];
  });
  afterAll(() => swarm?.dispose());
  afterEach(() => swarm.master.fleet.teardownFleet({}));

  const hostOf = async (name: string) => (await swarm.master.swarm.getHost({ name })).host;
  /** What the worker itself says about its connection. */
  const agentSays = async (worker: Worker) =>
    (await worker.host.run("curl", ["-s", "http://127.0.0.1:7441/"], { reject: false })).stdout;
  const rejoin = async (worker: Worker) => {
    await worker.stop("SIGKILL");
    const { secret } = await swarm.master.swarm.createJoinToken({ hostName: worker.name });
    expect((await worker.agent("join", secret, "--again")).stderr).toContain("has joined");
    await worker.start();
  };
  const bases = async () => (await everywhere(swarm)).filter((each) => !each.endsWith("-redis"));

  it("is drained: its deckies move to the other workers, as the plan said, and nothing new comes", async () => {
    const { master } = swarm;
    const prefix = master.prefix;
    await applyFleet(swarm, { a: "edge-1", b: "edge-1", c: "edge-1", d: "edge-2" });
    const dry = await master.swarm.drainHost({ name: "edge-1", options: { dryRun: true } });
    expect(dry.operation?.plan?.deckies.map((part) => [part.decky?.name, part.host, part.action])).toEqual([
      [`${prefix}-a`, "edge-3", "move"],
      [`${prefix}-b`, "edge-2", "move"],
      [`${prefix}-c`, "edge-3", "move"],
    ]);
    expect(dry.operation?.plan?.text).toContain(`move ${prefix}-a from edge-1 to edge-3`);
    expect((await hostOf("edge-1"))?.draining).toBe(false);
    const other = { expectedPlan: "0".repeat(32) };
    expect(await reasonOf(master.swarm.drainHost({ name: "edge-1", options: other }))).toBe("PLAN_CHANGED");
    const options = { expectedPlan: dry.operation?.plan?.digest ?? "", requestId: `${prefix}-drain` };
    const drained = await master.swarm.drainHost({ name: "edge-1", options });
    expect([drained.operation?.state, drained.host?.draining]).toEqual([OperationState.SUCCEEDED, true]);
    expect(await bases()).toEqual(["edge-2/b", "edge-2/d", "edge-3/a", "edge-3/c"]);
    expect((await master.swarm.drainHost({ name: "edge-1", options })).operation?.id).toBe(drained.operation?.id);
    // With one worker left there is nowhere to go from it, and nothing changes.
    await master.swarm.drainHost({ name: "edge-2" });
    expect(await bases()).toEqual(["edge-3/a", "edge-3/b", "edge-3/c", "edge-3/d"]);
    expect(await reasonOf(master.swarm.drainHost({ name: "edge-3" }))).toBe("NO_HOST_FITS");
    expect((await hostOf("edge-3"))?.draining).toBe(false);
    for (const name of ["edge-1", "edge-2"]) expect((await master.swarm.activateHost({ name })).host?.draining).toBe(false);
    await applyFleet(swarm, { a: "edge-1", b: undefined, c: undefined, d: undefined });
    expect(await bases()).toContain("edge-1/a");
  });

  it("is decommissioned: its deckies go, then its certificate; the name is free again", async () => {
    const { master } = swarm;
    const [first] = workers;
    await applyFleet(swarm, { a: "edge-1", b: "edge-2" });
    const before = await hostOf("edge-1");
    const dry = await master.swarm.decommissionHost({ name: "edge-1", options: { dryRun: true } });
    expect(dry.operation?.plan?.text).toBe(`teardown ${master.prefix}-a`);
    const options = { requestId: `${master.prefix}-gone` };
    const gone = await master.swarm.decommissionHost({ name: "edge-1", options });
    expect([gone.operation?.state, gone.host?.state]).toEqual([OperationState.SUCCEEDED, HostState.DECOMMISSIONED]);
    expect(await bases()).toEqual(["edge-2/b"]);
    expect((await master.swarm.decommissionHost({ name: "edge-1", options })).operation?.id).toBe(gone.operation?.id);
    expect(await reasonOf(master.swarm.getHost({ name: "edge-1" }))).toBe("HOST_NOT_FOUND");
    expect((await master.swarm.listHosts({})).hosts.map((host) => host.name)).toEqual(["edge-2", "edge-3"]);
    await eventually(async () => (await agentSays(first)).includes("CERTIFICATE_REFUSED"), 30_000);
    await rejoin(first);
    const after = await hostOf("edge-1");
    expect([after?.state, after?.id === before?.id]).toEqual([HostState.CONNECTED, false]);
    await applyFleet(swarm, { a: "edge-1", b: "edge-2" });
    expect(await bases()).toEqual(["edge-1/a", "edge-2/b"]);
  });

  it("is out when its operation has ended, for one that only watches, also without deckies", async () => {
    const { master } = swarm;
    const [first] = workers;
    for (const deckies of [{ a: "edge-1", b: "edge-1" }, {}]) {
      await applyFleet(swarm, deckies);
      const begun = await master.swarm.decommissionHost({ name: "edge-1", options: { wait: Wait.ACCEPTED } });
      let last = begun.operation?.state;
      for await (const { item } of master.operations.watchOperation({ id: begun.operation?.id ?? "" }))
        if (item.case === "operation") last = item.value.state;
      expect(last).toBe(OperationState.SUCCEEDED);
      expect((await master.swarm.listHosts({})).hosts.map((host) => host.name)).toEqual(["edge-2", "edge-3"]);
      await rejoin(first);
    }
  });

  it("is forgotten by force when it is away, with all that was still to be done there", async () => {
    const { master } = swarm;
    const [, second] = workers;
    await applyFleet(swarm, { a: "edge-2", b: "edge-2" });
    await second.stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected("edge-2")));
    // One waits to leave it, one has a change that waits for it.
    const move = await applyFleet(swarm, { a: "edge-3", b: undefined }, { options: { wait: Wait.ACCEPTED } });
    const decky = { name: `${master.prefix}-b` };
    const queued = await master.mutations.removeService({ decky, service: "redis" });
    expect(queued.operation?.waitingFor).toContain("host edge-2");
    expect(await reasonOf(master.swarm.decommissionHost({ name: "edge-2" }))).toBe("HOST_UNREACHABLE");
    expect((await hostOf("edge-2"))?.draining).toBe(false);
    const gone = await master.swarm.decommissionHost({ name: "edge-2", force: true });
    expect([gone.operation?.state, gone.host?.state]).toEqual([OperationState.SUCCEEDED, HostState.DECOMMISSIONED]);
    expect((await master.operations.getOperation({ id: queued.operation?.id ?? "" })).operation?.state).toBe(
      OperationState.FAILED,
    );
    expect(await reasonOf(master.fleet.getDecky({ decky }))).toBe("DECKY_NOT_FOUND");
    await eventually(async () => {
      const { operation } = await master.operations.getOperation({ id: move.id });
      return operation?.state === OperationState.SUCCEEDED;
    });
    expect(await bases()).toEqual(["edge-2/a", "edge-2/b", "edge-3/a"]);
    // What is left there is its own: it is let in no more, and the owner of the machine removes it.
    const refused = second.start().catch(() => undefined);
    await eventually(async () => (await agentSays(second)).includes("CERTIFICATE_REFUSED"), 30_000);
    await second.stop("SIGTERM");
    await refused;
    expect((await second.agent("leave", "-y")).exitCode).toBe(0);
    expect(await bases()).toEqual(["edge-3/a"]);
    await rejoin(second);
    await applyFleet(swarm, { a: "edge-2" });
    expect(await bases()).toEqual(["edge-2/a"]);
  });

  it("is decommissioned to the end by a master that was restarted in the middle", async () => {
    const { master } = swarm;
    const [, , third] = workers;
    await applyFleet(swarm, { a: "edge-3", b: "edge-1" });
    await third.stop("SIGTERM");
    const agent = await third.start();
    agent.kill("SIGSTOP");
    const begun = await master.swarm.decommissionHost({ name: "edge-3", options: { wait: Wait.ACCEPTED } });
    expect(begun.operation?.state).toBe(OperationState.RUNNING);
    expect(await reasonOf(master.swarm.activateHost({ name: "edge-3" }))).toBe("HOST_DRAINING");
    await master.restart();
    expect((await hostOf("edge-3"))?.draining).toBe(true);
    agent.kill("SIGCONT");
    await eventually(async () => {
      const { hosts } = await master.swarm.listHosts({ filter: "name=edge-3" });
      return hosts.length === 0;
    }, 60_000);
    expect(await bases()).toEqual(["edge-1/b"]);
    const { operation } = await master.operations.getOperation({ id: begun.operation?.id ?? "" });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
  });
});
