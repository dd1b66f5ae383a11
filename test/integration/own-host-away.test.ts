import { AppError } from "@decnet/common/errors/app-error";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState, WhenAway } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createMemoryEngine, type MemoryEngine } from "../support/memory-engine.ts";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** An engine that says nothing is given time, for it may only be busy. */
const soonMs = { stopped: 3_000, frozen: 8_000 };

describe.each(["stopped", "frozen"] as const)("while the engine of the master's own host is %s", (kind) => {
  let master: TestMaster;
  let isAway = false;
  let decky: { name: string };
  const waiting = new Set<() => void>();

  /** A stopped engine refuses at once; a frozen one says nothing until it goes on. */
  const pass = async (): Promise<void> => {
    if (!isAway) return;
    if (kind === "stopped") throw new AppError("ENGINE_UNAVAILABLE", "the Docker engine does not answer");
    await new Promise<void>((resolve) => waiting.add(resolve));
  };
  const goOn = () => {
    isAway = false;
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  const through = (engine: MemoryEngine): MemoryEngine => ({
    ...engine,
    plan: async (...args) => pass().then(() => engine.plan(...args)),
    apply: async (...args) => pass().then(() => engine.apply(...args)),
    check: async (...args) => pass().then(() => engine.check(...args)),
    ping: async () => pass().then(() => engine.ping()),
  });

  beforeAll(async () => {
    master = await useMaster({
      openHostEngine: async ({ catalog, instance }) => through(createMemoryEngine({ catalog, instance })),
    });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"], b: ["redis"] });
  });
  afterEach(() => goOn());
  afterAll(() => master.dispose());

  const within = async <T>(call: Promise<T>): Promise<T> => {
    const before = performance.now();
    const result = await call;
    expect(performance.now() - before).toBeLessThan(soonMs[kind]);
    return result;
  };
  const operationsNow = async () => (await master.operations.listOperations({})).operations.map(({ id }) => id);
  const services = async () => (await master.fleet.getDecky({ decky })).decky?.services.map(({ slug }) => slug);

  it.each<[string, () => Promise<unknown>]>([
    ["a mutation", () => master.mutations.addService({ decky, service: "http", options: { whenAway: WhenAway.REFUSE } })],
    ["a teardown", () => master.fleet.teardownDecky({ decky, options: { whenAway: WhenAway.REFUSE } })],
    [
      "a fleet",
      () =>
        master.fleet.applyFleet({
          fleet: { lan: master.lan, deckies: [{ name: `${master.prefix}-new`, services: [{ slug: "ftp" }] }] },
          options: { whenAway: WhenAway.REFUSE },
        }),
    ],
  ])("%s that does not wait is refused at once, and nothing of it is stored", async (_, submit) => {
    const before = await operationsNow();
    isAway = true;
    const failure = await within(submit().catch((error: unknown) => fromConnectError(error)));
    expect(failure).toMatchObject({ reason: "HOST_UNREACHABLE", metadata: { host: "local" } });
    expect(await operationsNow()).toEqual(before);
  });

  it("each change of a batch that does not wait is refused", async () => {
    isAway = true;
    const changes = ["a", "b"].map((name) => ({
      change: { case: "add" as const, value: { decky: { name: `${master.prefix}-${name}` }, service: "http" } },
    }));
    const reasons: string[] = [];
    const read = async () => {
      for await (const { item } of master.mutations.batchMutate({ changes, options: { whenAway: WhenAway.REFUSE } }))
        if (item.case === "result") reasons.push(item.value.error?.reason ?? "");
    };
    await within(read());
    expect(reasons).toEqual(["HOST_UNREACHABLE", "HOST_UNREACHABLE"]);
  });

  it("one that may wait is returned with what it waits for, and made when the engine is back", async () => {
    isAway = true;
    const { operation } = await within(
      master.mutations.addService({ decky, service: "http", options: { whenAway: WhenAway.QUEUE } }),
    );
    expect(operation?.waitingFor).toMatch(/^host local, whose engine does not answer since /);
    expect([OperationState.PENDING, OperationState.RUNNING]).toContain(operation?.state);
    const { operation: later } = await master.operations.getOperation({ id: operation?.id ?? "" });
    expect(later?.waitingFor).toBe(operation?.waitingFor);
    goOn();
    await eventually(async () => {
      const { operation: now } = await master.operations.getOperation({ id: operation?.id ?? "" });
      return now?.state === OperationState.SUCCEEDED;
    });
    expect(await services()).toEqual(["redis", "http"]);
    await master.mutations.removeService({ decky, service: "http" });
  });

  it("one that waits can be cancelled meanwhile", async () => {
    isAway = true;
    const { operation } = await within(master.mutations.addService({ decky, service: "ftp" }));
    expect(operation?.waitingFor).not.toBe("");
    const id = operation?.id ?? "";
    const cancelled = await within(master.operations.cancelOperation({ id }));
    expect(cancelled.operation?.id).toBe(id);
    goOn();
    await eventually(async () => {
      const { operation: now } = await master.operations.getOperation({ id });
      return now?.state === OperationState.CANCELLED;
    });
    await eventually(async () => (await services())?.join() === "redis");
  });

  it("a dry run says that what has to be done there is known later", async () => {
    isAway = true;
    await eventually(async () => {
      const { operation } = await master.mutations.addService({ decky, service: "http", options: { dryRun: true } });
      return operation?.plan?.text.includes("is away");
    });
  });
});
