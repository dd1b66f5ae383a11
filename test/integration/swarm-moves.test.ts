import { fromConnectError } from "@decnet/common/rpc/errors";
import { LanDriver, MovePolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { OperationState, Wait, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { applyFleet, everywhere, placement, reasonOf } from "../support/swarm-changes.ts";
import { eventually } from "../support/use-master.ts";
import { joinWorker, type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

describe("deckies on several hosts", () => {
  let swarm: Swarm;
  let workers: [Worker, Worker, Worker];

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 3, slugs: ["redis", "http"], join: false });
    const [first, second, third] = swarm.workers;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three workers are needed");
    workers = [first, second, third];
    await joinWorker(swarm.master, first, { labels: { site: "north" } });
    await joinWorker(swarm.master, second, { labels: { site: "north" } });
    await joinWorker(swarm.master, third, { labels: { site: "south" } });
  });
  afterAll(() => swarm?.dispose());
  afterEach(async () => {
    await swarm.master.fleet.teardownFleet({});
    await eventually(async () => (await everywhere(swarm)).length === 0);
  });

  const get = async (name: string) =>
    (await swarm.master.fleet.getDecky({ decky: { name: `${swarm.master.prefix}-${name}` } })).decky;
  const hostOf = async (name: string) => (await get(name))?.host;
  const endOf = async (id: string) =>
    eventually(async () => {
      const { operation } = await swarm.master.operations.getOperation({ id });
      return operation !== undefined && operation.state >= OperationState.SUCCEEDED ? operation : undefined;
    }, 60_000);
  /** Times at which the engine of a worker logged an action about a decky's containers. */
  const times = async (worker: Worker, action: string, name: string, since: number) => {
    const lines = await worker.host.docker([
      ...["events", "--since", (since / 1_000).toFixed(3), "--until", (Date.now() / 1_000 + 0.1).toFixed(3)],
      ...["--filter", "type=container", "--filter", `event=${action}`],
      ...["--format", "{{.TimeNano}} {{.Actor.Attributes.name}}"],
    ]);
    return lines.filter((line) => line.includes(`${swarm.master.prefix}-${name}`)).map((line) => Number(line.split(" ")[0]));
  };

  it("go where the fleet says: by name, by label, balanced, by default; and the plan says where", async () => {
    const fleet = { a: "edge-1", b: { site: "south" }, c: "balanced", d: "balanced", e: undefined };
    const more = { defaultPlacement: "edge-2" };
    const planned = await applyFleet(swarm, fleet, { ...more, options: { dryRun: true } });
    const parts = planned.plan?.deckies.map((part) => [part.decky?.name.split("-").at(-1), part.host, part.action]);
    expect(parts).toEqual([
      ["a", "edge-1", "deploy"],
      ["b", "edge-3", "deploy"],
      ["c", "edge-2", "deploy"],
      ["d", "edge-1", "deploy"],
      ["e", "edge-2", "deploy"],
    ]);
    expect(planned.plan?.text).toContain(`deploy ${swarm.master.prefix}-b on edge-3`);
    expect(await everywhere(swarm)).toEqual([]);
    expect((await applyFleet(swarm, fleet, more)).state).toBe(OperationState.SUCCEEDED);
    expect((await everywhere(swarm)).filter((each) => !each.endsWith("-redis"))).toEqual(
      ["edge-1/a", "edge-1/d", "edge-2/c", "edge-2/e", "edge-3/b"].sort(),
    );
    // Nothing says otherwise: everything stays, also with another default.
    const stays = { a: undefined, b: undefined, c: undefined, d: undefined, e: undefined };
    const again = await applyFleet(swarm, stays, { defaultPlacement: "edge-3", options: { dryRun: true } });
    expect(again.plan?.deckies).toEqual([]);
    expect(again.plan?.untouched).toHaveLength(5);
    const moved = await applyFleet(swarm, { ...stays, a: { site: "south" } }, { options: { dryRun: true } });
    expect(moved.plan?.deckies.map((part) => [part.host, part.action])).toEqual([["edge-3", "move"]]);
    expect(moved.plan?.text).toContain(`move ${swarm.master.prefix}-a from edge-1 to edge-3`);
  });

  it("are refused before anything is stored where they cannot go", async () => {
    const { master } = swarm;
    await applyFleet(swarm, { a: "edge-1" });
    await master.swarm.drainHost({ name: "edge-3" });
    const world = async () => ({
      operations: (await master.operations.listOperations({ pageSize: 500 })).operations.length,
      revision: (await get("a"))?.desiredRevision,
      names: (await master.fleet.listDeckies({})).deckies.map((decky) => decky.ref?.name),
    });
    const before = await world();
    expect(await reasonOf(applyFleet(swarm, { a: "edge-1", b: "nowhere" }))).toBe("HOST_NOT_FOUND");
    expect(await reasonOf(applyFleet(swarm, { a: "edge-1", b: "edge-3" }))).toBe("HOST_DRAINING");
    expect(await reasonOf(applyFleet(swarm, { a: "edge-3" }))).toBe("HOST_DRAINING");
    expect(await reasonOf(applyFleet(swarm, { a: "edge-1", b: { site: "south" } }))).toBe("NO_HOST_FITS");
    expect(await reasonOf(applyFleet(swarm, { a: { site: "north", rack: "7" } }))).toBe("NO_HOST_FITS");
    expect(await world()).toEqual(before);
    const balanced = await applyFleet(swarm, { a: "edge-1", b: "balanced", c: "balanced" }, { options: { dryRun: true } });
    expect(balanced.plan?.deckies.map((part) => part.host)).toEqual(["edge-2", "edge-1"]);
    await master.swarm.activateHost({ name: "edge-3" });
    expect((await applyFleet(swarm, { a: "edge-1", b: "edge-3" }, { options: { dryRun: true } })).plan?.deckies).toHaveLength(1);
  });

  it("are planned with a host that is away, queued for it, or refused when the caller does not want to wait", async () => {
    const [first] = workers;
    await first.stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected("edge-1")));
    const plan = await applyFleet(swarm, { a: "edge-1" }, { options: { dryRun: true } });
    expect(plan.plan?.text).toMatch(/deploy \S+-a on edge-1\n.*its host is away/);
    expect(await reasonOf(applyFleet(swarm, { a: "edge-1" }, { options: { whenAway: WhenAway.REFUSE } }))).toBe(
      "HOST_UNREACHABLE",
    );
    expect((await swarm.master.fleet.listDeckies({})).deckies).toEqual([]);
    const queued = await applyFleet(swarm, { a: "edge-1", b: "edge-2" });
    expect([queued.state, queued.waitingFor]).toEqual([OperationState.RUNNING, expect.stringContaining("host edge-1")]);
    expect(await everywhere(swarm)).toEqual(["edge-2/b", "edge-2/b-redis"]);
    await first.start();
    expect((await endOf(queued.id)).state).toBe(OperationState.SUCCEEDED);
    expect(await everywhere(swarm, "a")).toEqual(["edge-1/a", "edge-1/a-redis"]);
  });

  it("are removed from the old host before the new one deploys, and keep who they are", async () => {
    const [first, second] = workers;
    await applyFleet(swarm, { a: "edge-1" });
    const before = await get("a");
    const since = Date.now();
    expect((await applyFleet(swarm, { a: "edge-2" })).state).toBe(OperationState.SUCCEEDED);
    const after = await get("a");
    expect([after?.host, after?.identity, after?.addresses]).toEqual(["edge-2", before?.identity, before?.addresses]);
    const format = "{{.Config.Hostname}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}";
    const seen = await second.host.docker(["inspect", "--format", format, `${swarm.master.prefix}-a`]);
    expect(seen).toEqual([`${before?.identity?.hostname} ${before?.addresses[0]?.ip} ${before?.addresses[0]?.mac}`]);
    expect(await everywhere(swarm)).toEqual(["edge-2/a", "edge-2/a-redis"]);
    const [gone, made] = [await times(first, "destroy", "a", since), await times(second, "create", "a", since)];
    expect([gone.length, made.length]).toEqual([2, 2]);
    expect(Math.max(...gone)).toBeLessThan(Math.min(...made));
  });

  it("wait for an old host that is away, and go when it is back", async () => {
    const [first] = workers;
    await applyFleet(swarm, { a: "edge-1" });
    await first.stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected("edge-1")));
    const move = await applyFleet(swarm, { a: "edge-2" });
    expect([move.state, move.waitingFor]).toEqual([OperationState.RUNNING, expect.stringContaining("host edge-1")]);
    const [part = ""] = move.children;
    expect((await swarm.master.operations.getOperation({ id: part })).operation?.waitingFor).toContain("host edge-1");
    expect(await everywhere(swarm)).toEqual(["edge-1/a", "edge-1/a-redis"]);
    // Back again before anything was begun: nothing is in the way.
    const [, second] = workers;
    await second.stop("SIGKILL");
    const back = await applyFleet(swarm, { a: "edge-1" }, { options: { wait: Wait.ACCEPTED } });
    await first.start();
    expect((await endOf(back.id)).state).toBe(OperationState.SUCCEEDED);
    await second.start();
    expect(await everywhere(swarm)).toEqual(["edge-1/a", "edge-1/a-redis"]);
    expect((await applyFleet(swarm, { a: "edge-2" })).state).toBe(OperationState.SUCCEEDED);
    expect(await everywhere(swarm)).toEqual(["edge-2/a", "edge-2/a-redis"]);
  });

  it("are kept on the old host until they run on the new one, when the fleet wants that", async () => {
    const [first, second] = workers;
    const keep = { movePolicy: MovePolicy.KEEP_OLD };
    await applyFleet(swarm, { a: "edge-1" }, keep);
    const since = Date.now();
    expect((await applyFleet(swarm, { a: "edge-2" }, keep)).state).toBe(OperationState.SUCCEEDED);
    await eventually(async () => (await everywhere(swarm)).join() === "edge-2/a,edge-2/a-redis");
    expect(Math.min(...(await times(first, "destroy", "a", since)))).toBeGreaterThan(
      Math.max(...(await times(second, "start", "a", since))),
    );
  });

  it("leave an old host that is away when it is back, also when they are torn down by then", async () => {
    const [first] = workers;
    const keep = { movePolicy: MovePolicy.KEEP_OLD };
    await applyFleet(swarm, { a: "edge-1", b: "edge-1" }, keep);
    await first.stop("SIGKILL");
    await eventually(async () => !(await swarm.isConnected("edge-1")));
    expect((await applyFleet(swarm, { a: "edge-2", b: "edge-3" }, keep)).state).toBe(OperationState.SUCCEEDED);
    expect(await everywhere(swarm)).toHaveLength(8);
    await swarm.master.fleet.teardownDecky({ decky: { name: `${swarm.master.prefix}-b` } });
    await first.start();
    await eventually(async () => (await everywhere(swarm)).join() === "edge-2/a,edge-2/a-redis", 30_000);
  });

  it("are never in two places when they are sent back and forth", async () => {
    await applyFleet(swarm, { a: "edge-1" });
    const accepted = { options: { wait: Wait.ACCEPTED } };
    let last = "";
    for (const host of ["edge-2", "edge-1", "edge-3", "local", "edge-1", "edge-2"])
      last = (await applyFleet(swarm, { a: host }, accepted)).id;
    const most = { bases: 0 };
    const basesNow = async () => (await everywhere(swarm)).filter((each) => !each.endsWith("-redis"));
    const ended = await eventually(async () => {
      const bases = await basesNow();
      // Hosts are not asked at one moment, and the decky moves meanwhile: two are two only if both are still there a look later.
      const still = bases.length > 1 ? await basesNow() : bases;
      most.bases = Math.max(most.bases, bases.filter((each) => still.includes(each)).length);
      const { operation } = await swarm.master.operations.getOperation({ id: last });
      return operation !== undefined && operation.state >= OperationState.SUCCEEDED ? operation : undefined;
    }, 60_000);
    expect([ended.state, await hostOf("a")]).toEqual([OperationState.SUCCEEDED, "edge-2"]);
    expect(await everywhere(swarm)).toEqual(["edge-2/a", "edge-2/a-redis"]);
    expect(most.bases).toBeLessThanOrEqual(1);
  });

  it("keep their worker's LAN, its driver and its parent, through a live mutation (W-58)", async () => {
    const { master } = swarm;
    const [first] = workers;
    const ends = ["decoys", "decoyq"] as const;
    await first.host.run("ip", ["link", "add", ends[0], "type", "veth", "peer", "name", ends[1]]);
    for (const end of ends) await first.host.run("ip", ["link", "set", end, "up"]);
    const lan = { ...master.lan, name: `${master.prefix}-mac`, driver: LanDriver.MACVLAN, parent: ends[0] };
    const decky = { name: `${master.prefix}-a` };
    const wanted = { ...decky, services: [{ slug: "redis" }], placement: placement("edge-1") ?? {} };
    await master.fleet.applyFleet({ fleet: { lan, deckies: [wanted] } });
    const format = "{{.Id}} {{.Driver}} {{.Options.parent}}";
    const before = await first.host.docker(["network", "inspect", "--format", format, lan.name]);
    expect(before[0]).toMatch(/ macvlan decoys$/);
    const { operation } = await master.mutations.addService({ decky, service: "http" });
    expect([operation?.state, operation?.receipt?.othersUnchanged]).toEqual([OperationState.SUCCEEDED, true]);
    expect(await first.host.docker(["network", "inspect", "--format", format, lan.name])).toEqual(before);
    const updated = { decky, service: "http", config: { server_header: "nginx" }, apply: true };
    expect((await master.mutations.updateServiceConfig(updated)).operation?.receipt?.othersUnchanged).toBe(true);
    expect(await first.host.docker(["network", "inspect", "--format", format, lan.name])).toEqual(before);
    await master.fleet.teardownFleet({});
    await first.host.run("ip", ["link", "del", ends[0]]);
  });

  it("go back to where they ran when the new host cannot deploy them, and the operation says so", async () => {
    const { master } = swarm;
    const [, second] = workers;
    await applyFleet(swarm, { a: "edge-1" });
    const name = `${master.prefix}-a`;
    await second.host.docker(["create", "--name", name, debianBase, "true"]);
    try {
      const failure = await applyFleet(swarm, { a: "edge-2" }).then(
        () => undefined,
        (error: unknown) => fromConnectError(error),
      );
      expect(failure?.reason).toBe("APPLY_FAILED");
      expect(failure?.message).toMatch(/on edge-2: .*taken by a container that is not ours/);
      expect(failure?.metadata["undone"]).toBe("true");
      const seen = await get("a");
      expect([seen?.host, seen?.message]).toEqual(["edge-1", ""]);
      expect(await everywhere(swarm)).toEqual(["edge-1/a", "edge-1/a-redis", "edge-2/a"]);
    } finally {
      await second.host.docker(["rm", name]);
    }
  });
});
