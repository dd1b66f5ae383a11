import { once } from "node:events";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { ContainerVerdict, OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

const againMs = 60_000;

describe("a worker whose programs are killed", () => {
  let swarm: Swarm;
  const decky = (name: string) => ({ name: `${swarm.master.prefix}-${name}` });

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis", "http", "ssh"] });
    await swarm.master.fleet.applyFleet({
      fleet: {
        lan: swarm.master.lan,
        deckies: ["a", "b"].map((name) => ({
          name: decky(name).name,
          services: [{ slug: "redis" }, { slug: "ssh" }],
          placement: { where: { case: "host", value: "edge-1" } },
        })),
      },
    });
  });
  afterAll(() => swarm?.dispose());

  const worker = () => swarm.workers[0] ?? expect.fail("there is no worker");
  const seen = async (name: string) => (await swarm.master.fleet.getDecky({ decky: decky(name) })).decky;
  const hasEnded = async (id: string) => {
    const { operation } = await swarm.master.operations.getOperation({ id });
    return operation !== undefined && operation.state >= OperationState.SUCCEEDED ? operation : undefined;
  };
  const areAsWanted = async () => {
    const found = await Promise.all([seen("a"), seen("b")]);
    return found.every((each) => each?.state === DeckyState.RUNNING && each.appliedRevision === each.desiredRevision);
  };
  const countOperations = async () => (await swarm.master.operations.listOperations({ pageSize: 1_000 })).operations.length;
  const add = async (service: string) => {
    const options = { wait: Wait.ACCEPTED };
    const { operation } = await swarm.master.mutations.addService({ decky: decky("a"), service, options });
    return operation?.id ?? "";
  };

  /** write-project, create, settle: four boundaries. A service that fails never passes the one after its settle step. */
  it.each([0, 1, 2, 3].flatMap((boundary) => (["http", "quits"] as const).map((service) => ({ boundary, service }))))(
    "ends what it was told, with the true receipt, after its agent was killed (adding $service, at boundary $boundary) (W-54)",
    async ({ boundary, service }) => {
      const { mutations } = swarm.master;
      const before = await worker().containers();
      await worker().stop("SIGTERM");
      const doomed = await worker().start({ CRASH_AT: String(boundary) });
      const exit = once(doomed, "exit");
      const id = await add(service);
      const isKilled = await Promise.race([exit.then(() => true), eventually(() => hasEnded(id), againMs).then(() => false)]);
      if (service === "http" || boundary < 3) expect(isKilled).toBe(true);
      await worker().stop("SIGKILL");
      await worker().start();
      const ended = await eventually(() => hasEnded(id), againMs);
      await eventually(areAsWanted, againMs);
      if (service === "http") {
        expect({ state: ended.state, error: ended.error }).toEqual({ state: OperationState.SUCCEEDED, error: undefined });
        const containers = ended.receipt?.containers ?? [];
        const made = containers.find((each) => each.service === "http");
        expect([made?.verdict, made?.planned, made?.before]).toEqual([ContainerVerdict.CREATED, true, undefined]);
        const others = containers.filter((each) => each !== made);
        expect(others.map((each) => each.verdict)).toEqual([1, 2, 3].map(() => ContainerVerdict.UNCHANGED));
        expect(ended.receipt?.othersUnchanged).toBe(true);
        expect((await worker().containers()).get(`${decky("a").name}-http`)).toContain(made?.after?.id);
        await mutations.removeService({ decky: decky("a"), service });
      } else {
        expect(ended.state).toBe(OperationState.FAILED);
        expect(ended.error?.undone).toBe(true);
      }
      expect(await worker().containers()).toEqual(before);
    },
  );

  it("makes nothing again when it was only restarted, and nobody speaks of a repair (W-54)", async () => {
    const before = await worker().containers();
    const known = await countOperations();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await worker().stop(signal);
      await worker().start();
      await eventually(areAsWanted, againMs);
    }
    await swarm.master.restart();
    await eventually(() => swarm.isConnected("edge-1"), againMs);
    await eventually(areAsWanted, againMs);
    expect(await worker().containers()).toEqual(before);
    expect(await countOperations()).toBe(known);
  });

  it("goes on with an apply while the master is restarted, and tells it how it ended (W-54)", async () => {
    const before = await worker().containers();
    const id = await add("slow");
    await eventually(async () => (await worker().containers()).has(`${decky("a").name}-slow`));
    await swarm.master.restart();
    const ended = await eventually(() => hasEnded(id), againMs);
    expect(ended.state).toBe(OperationState.SUCCEEDED);
    const made = ended.receipt?.containers.find((each) => each.service === "slow");
    expect([made?.verdict, made?.before]).toEqual([ContainerVerdict.CREATED, undefined]);
    const after = await worker().containers();
    expect(after.get(`${decky("a").name}-slow`)).toContain(made?.after?.id);
    await swarm.master.mutations.removeService({ decky: decky("a"), service: "slow" });
    expect(await worker().containers()).toEqual(before);
  });

  const isAway = async () => {
    const away = await eventually(async () => {
      const found = await seen("a");
      return found?.state === DeckyState.UNKNOWN ? found : undefined;
    }, againMs);
    expect(away.message).toContain("the Docker engine does not answer");
  };

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "says that its engine is away after a %s of it, and has everything back as it was, with the same identity",
    async (signal) => {
      const host = worker().host;
      const identity = async () => {
        const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}} {{.Config.Hostname}}";
        const [address] = await host.docker(["inspect", "--format", format, decky("a").name]);
        const [pid = ""] = await host.docker(["inspect", "--format", "{{.State.Pid}}", decky("a").name]);
        const scan = ["-t", pid, "-n", "ssh-keyscan", "-t", "ed25519", "127.0.0.1"];
        return [address, (await host.run("nsenter", scan)).stdout.split(" ").at(-1)];
      };
      const ids = async () => [...(await worker().containers())].map(([name, facts]) => `${name} ${facts.split(" ")[0]}`).sort();
      const before = { identity: await identity(), ids: await ids() };
      expect(before.identity[1]).toMatch(/^AAAA/);
      await host.restartEngine(signal, isAway);
      await eventually(areAsWanted, againMs);
      expect({ identity: await identity(), ids: await ids() }).toEqual(before);
      expect((await swarm.master.swarm.getHost({ name: "edge-1" })).host?.message).toBe("");
      const { operation } = await swarm.master.mutations.addService({ decky: decky("b"), service: "http" });
      expect(operation?.state).toBe(OperationState.SUCCEEDED);
      await swarm.master.mutations.removeService({ decky: decky("b"), service: "http" });
    },
  );

  it("says the same of an engine that takes calls and does not answer them", async () => {
    const before = await worker().containers();
    await worker().host.freezeEngine(isAway);
    await eventually(areAsWanted, againMs);
    expect(await worker().containers()).toEqual(before);
  });
});
