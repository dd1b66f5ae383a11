import { Code, ConnectError } from "@connectrpc/connect";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** Both ends notice a dead peer in ten seconds; who waits is answered within another. */
const noticedMs = 15_000;
const healedMs = 60_000;

describe("a worker that is cut off", () => {
  let swarm: Swarm;
  const decky = (name: string) => ({ name: `${swarm.master.prefix}-${name}` });

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 2, slugs: ["redis", "http"] });
    await applyFleet({ a: ["redis"], b: ["redis"], c: ["redis"] });
  });
  afterAll(() => swarm?.dispose());

  const applyFleet = (services: Record<string, string[]>) =>
    swarm.master.fleet.applyFleet({
      fleet: {
        lan: swarm.master.lan,
        deckies: Object.entries(services).map(([name, slugs]) => ({
          name: decky(name).name,
          services: slugs.map((slug) => ({ slug })),
          placement: { where: { case: "host" as const, value: name === "c" ? "edge-2" : "edge-1" } },
        })),
      },
    });
  const worker = () => swarm.workers[0] ?? expect.fail("there is no worker");
  const seen = async (name: string) => (await swarm.master.fleet.getDecky({ decky: decky(name) })).decky;
  const host = async (name: string) => (await swarm.master.swarm.getHost({ name })).host;
  const operation = async (id: string) => (await swarm.master.operations.getOperation({ id })).operation;
  const operationsOf = async (name: string) =>
    (await swarm.master.operations.listOperations({ filter: `decky=${decky(name).name}`, pageSize: 1_000 })).operations;
  const isAsWanted = async (name: string) => {
    const found = await seen(name);
    return found?.state === DeckyState.RUNNING && found.appliedRevision === found.desiredRevision;
  };
  const areAsWanted = async (...names: string[]) => (await Promise.all(names.map(isAsWanted))).every(Boolean);
  const hasEnded = async (id: string) => {
    const found = await operation(id);
    return found !== undefined && found.state >= OperationState.SUCCEEDED ? found : undefined;
  };
  const heal = async () => {
    await worker().host.heal();
    await eventually(() => swarm.isConnected("edge-1"), healedMs);
  };
  /** Starts a change that takes seconds, and cuts the host off while it settles. */
  const cutDuring = async (name: string, whenAway: WhenAway) => {
    const began = (await operationsOf(name)).length;
    const call = swarm.master.mutations.addService({ decky: decky(name), service: "slow", options: { whenAway } }).then(
      (answer) => ({ answer: answer.operation, failure: undefined }),
      (error: unknown) => ({ answer: undefined, failure: ConnectError.from(error) }),
    );
    const id = await eventually(async () => {
      const found = await operationsOf(name);
      const [newest] = found;
      if (found.length === began || newest === undefined) return undefined;
      const steps = (await operation(newest.id))?.steps ?? [];
      return steps.some((step) => step.verb === "settle") ? newest.id : undefined;
    });
    await worker().host.cut();
    return { id, call, cutAt: performance.now() };
  };
  const refusal = async (call: Promise<unknown>) =>
    call.then(
      () => expect.fail("it was not refused"),
      (error: unknown) => fromConnectError(error),
    );

  it("in the middle of an apply keeps nobody waiting, is said to be away, and applies all later (W-06, W-55)", async () => {
    const { master } = swarm;
    const { id, call, cutAt } = await cutDuring("a", WhenAway.QUEUE);
    const before = await worker().containers();
    // Other hosts go on.
    const elsewhere = await master.mutations.addService({ decky: decky("c"), service: "http" });
    expect(elsewhere.operation?.state).toBe(OperationState.SUCCEEDED);
    const { answer } = await call;
    expect(performance.now() - cutAt).toBeLessThan(noticedMs);
    expect(answer?.state).toBe(OperationState.RUNNING);
    expect(answer?.waitingFor).toContain("edge-1");

    const known = { operations: (await operationsOf("b")).length, revision: (await seen("b"))?.desiredRevision };
    const refused = await refusal(
      master.mutations.addService({ decky: decky("b"), service: "http", options: { whenAway: WhenAway.REFUSE } }),
    );
    expect(refused.reason).toBe("HOST_UNREACHABLE");
    expect({ operations: (await operationsOf("b")).length, revision: (await seen("b"))?.desiredRevision }).toEqual(known);

    const queued = (await master.mutations.addService({ decky: decky("b"), service: "http" })).operation;
    expect([queued?.state, queued?.waitingFor]).toEqual([OperationState.PENDING, expect.stringContaining("edge-1")]);

    const silent = await eventually(async () => {
      const found = await host("edge-1");
      return found?.state === HostState.UNREACHABLE ? found : undefined;
    });
    expect(silent.lastSeen).toBeDefined();
    for (const name of ["a", "b"]) {
      const unknown = await eventually(async () => {
        const found = await seen(name);
        return found?.state === DeckyState.UNKNOWN ? found : undefined;
      });
      expect(unknown.message).toContain("edge-1");
      expect(unknown.observedAt).toBeDefined();
    }

    await heal();
    expect((await eventually(() => hasEnded(id), healedMs)).state).toBe(OperationState.SUCCEEDED);
    expect((await eventually(() => hasEnded(queued?.id ?? ""), healedMs)).state).toBe(OperationState.SUCCEEDED);
    await eventually(() => areAsWanted("a", "b"), healedMs);
    // Nothing was made twice, and nothing was touched that the changes do not name.
    const after = await worker().containers();
    const added = [`${decky("b").name}-http`];
    expect([...after.keys()].sort()).toEqual([...before.keys(), ...added].sort());
    for (const [name, facts] of before) expect(after.get(name)).toBe(facts);
    const receipt = (await operation(id))?.receipt;
    expect(receipt?.othersUnchanged).toBe(true);
    expect(receipt?.containers.find((each) => each.service === "slow")?.before).toBeUndefined();
    expect(receipt?.containers.find((each) => each.service === "slow")?.after).toBeDefined();
    for (const name of ["a", "b"]) expect((await operationsOf(name)).filter((each) => each.actor === "drift")).toEqual([]);
  });

  it("in the middle of an apply ends it for a caller that does not wait, and is undone there later (W-06)", async () => {
    const { id, call, cutAt } = await cutDuring("b", WhenAway.REFUSE);
    const { failure } = await call;
    expect(performance.now() - cutAt).toBeLessThan(noticedMs);
    expect(failure?.code).toBe(Code.Unavailable);
    expect(fromConnectError(failure).reason).toBe("HOST_UNREACHABLE");
    const ended = await operation(id);
    expect([ended?.state, ended?.error?.reason]).toEqual([OperationState.FAILED, "HOST_UNREACHABLE"]);
    await heal();
    await eventually(() => areAsWanted("b"), healedMs);
    expect((await seen("b"))?.services.map(({ slug }) => slug)).toEqual(["redis", "http"]);
    expect([...(await worker().containers(`${decky("b").name}-slow`)).keys()]).toEqual([]);
    expect((await operation(id))?.state).toBe(OperationState.FAILED);
  });

  it("while it is away, what waits for it can be cancelled, and is never made", async () => {
    const { master } = swarm;
    await master.mutations.removeService({ decky: decky("a"), service: "slow" });
    const { id: running, call } = await cutDuring("a", WhenAway.QUEUE);
    await call;
    const present = { a: ["redis", "slow"], b: ["redis", "http"], c: ["redis", "http"] };
    const deployed = (await applyFleet({ ...present, d: ["redis"] })).operation;
    expect([deployed?.state, deployed?.waitingFor]).toEqual([OperationState.RUNNING, expect.stringContaining("edge-1")]);
    const queued = (await master.mutations.removeService({ decky: decky("b"), service: "http" })).operation;
    const later = (await master.mutations.addService({ decky: decky("b"), service: "odd_name" })).operation;
    for (const each of [queued, deployed]) {
      const { operation: cancelled } = await master.operations.cancelOperation({ id: each?.id ?? "" });
      expect(cancelled?.state).toBe(OperationState.CANCELLED);
    }
    expect((await refusal(master.fleet.getDecky({ decky: decky("d") }))).reason).toBe("DECKY_NOT_FOUND");
    expect((await seen("b"))?.services.map(({ slug }) => slug).sort()).toEqual(["http", "odd_name", "redis"]);
    await master.operations.cancelOperation({ id: later?.id ?? "" });
    const back = await seen("b");
    expect(back?.appliedRevision).toBe(back?.desiredRevision);
    // Nobody knows what the host made of this one: it ends when that is known and undone.
    const cancelling = (await master.operations.cancelOperation({ id: running })).operation;
    expect([cancelling?.state, cancelling?.waitingFor]).toEqual([OperationState.RUNNING, expect.stringContaining("edge-1")]);
    const others = await worker().containers(decky("b").name);
    await heal();
    expect((await eventually(() => hasEnded(running), healedMs)).state).toBe(OperationState.CANCELLED);
    await eventually(() => areAsWanted("a", "b"), healedMs);
    expect([...(await worker().containers(`${decky("a").name}-`)).keys()]).toEqual([`${decky("a").name}-redis`]);
    expect(await worker().containers(decky("b").name)).toEqual(others);
    expect([...(await worker().containers(decky("d").name)).keys()]).toEqual([]);
  });
});
