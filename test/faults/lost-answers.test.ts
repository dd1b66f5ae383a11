import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@decnet/common/logging/logger";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DatabaseLine, openDatabaseLine } from "../support/database-line.ts";
import { createMemoryEngine, type EngineHooks } from "../support/memory-engine.ts";
import { openReadyPostgres } from "../support/ready-database.ts";
import { eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("a master whose database stores and does not answer", () => {
  let folder: string;
  let server: PrivatePostgres;
  let line: DatabaseLine;
  let master: TestMaster;
  let hooks: EngineHooks = {};
  let decky: { name: string };
  const deckies: { name: string; services: { slug: string }[] }[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    server = await openReadyPostgres(folder);
    line = await openDatabaseLine(server);
    master = await useMaster({
      place: {
        dataDir: join(folder, "master"),
        prefix: "",
        lan: { name: "lan", subnet: "10.77.0.0/24" },
        dispose: async () => undefined,
      },
      // No drift check finds what was left.
      env: { DECNET_DATABASE_URL: line.url, DECNET_DRIFT_INTERVAL_MS: "3600000" },
      log: createLogger("test", "silent"),
      openHostEngine: async ({ catalog, instance }) =>
        createMemoryEngine({
          catalog,
          instance,
          hooks: {
            beforeApply: async (...call) => hooks.beforeApply?.(...call),
            beforeStep: async (...call) => hooks.beforeStep?.(...call),
          },
        }),
    });
  });
  beforeEach(async () => {
    hooks = {};
    decky = { name: `lost${deckies.length + 1}` };
    await deploy(decky.name);
  });
  afterAll(async () => {
    await master?.dispose();
    await line?.dispose();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const deploy = (name: string) => {
    deckies.push({ name, services: [{ slug: "http" }] });
    return master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } });
  };
  /** The answer to the n-th commit of a decision from now on is lost. */
  const loseCommit = (number: number) => {
    let commits = 0;
    line.loseAnswer((roundTrip) => {
      if (roundTrip === "decnet-commit") commits += 1;
      return commits === number;
    });
  };
  const add = (requestId = "", wait = Wait.APPLIED) =>
    master.mutations.addService({ decky, service: "redis", options: { requestId, wait } });
  const operations = async () =>
    (await master.operations.listOperations({ filter: `decky=${decky.name}` })).operations.filter(
      ({ service }) => service === "redis",
    );
  const seen = async () => {
    const { decky: found } = await master.fleet.getDecky({ decky });
    return {
      state: found?.state,
      services: found?.services.map(({ slug }) => slug),
      revisions: [found?.desiredRevision, found?.appliedRevision],
    };
  };
  /** What was told of the decky until a change of a kind has ended. */
  const toldUntil = async (last: string): Promise<string[]> => {
    const events: string[] = [];
    const patterns = [`decky.${decky.name}.>`];
    for await (const { item } of master.events.subscribe({ cursor: "0", patterns })) {
      if (item.case !== "event") continue;
      const { state = "", kind = "" } = item.value.data as { state?: string; kind?: string };
      events.push([item.value.topic.split(".").at(-1), kind, state].filter((word) => word !== "").join(" "));
      if (kind === last) break;
    }
    return events;
  };
  const reasonOf = (call: Promise<unknown>) =>
    call.then(
      () => "",
      (error: unknown) => fromConnectError(error).reason,
    );

  const running = { state: DeckyState.RUNNING, services: ["http", "redis"], revisions: [2, 2] };

  it("applies a change whose caller was told to try again, once", async () => {
    const requestId = randomUUID();
    loseCommit(1);
    expect(await reasonOf(add(requestId))).toBe("STORAGE_UNAVAILABLE");
    expect((await add(requestId)).operation?.state).toBe(OperationState.SUCCEEDED);
    expect(await operations()).toHaveLength(1);
    expect(await seen()).toEqual(running);
  });

  it("applies a stored change that nobody asks for again", async () => {
    loseCommit(1);
    expect(await reasonOf(add())).toBe("STORAGE_UNAVAILABLE");
    await eventually(async () => (await operations()).every(({ state }) => state === OperationState.SUCCEEDED));
    expect(await seen()).toEqual(running);
  });

  it("tells the end of a change once", async () => {
    loseCommit(2);
    expect((await add()).operation?.state).toBe(OperationState.SUCCEEDED);
    expect(await seen()).toEqual(running);
    await master.mutations.removeService({ decky, service: "redis" });
    expect(await toldUntil("remove_service")).toEqual([
      ...["state changing", "lifecycle deploy_decky succeeded", "state running"],
      ...["state changing", "service_added", "lifecycle add_service succeeded", "state running"],
      ...["state changing", "service_removed", "lifecycle remove_service succeeded"],
    ]);
  });

  it("takes a failed change back, though it does not hear that it decided to", async () => {
    hooks = {
      beforeStep: async (_key, step) => (step.service === "redis" ? { message: "does not start", outputTail: [] } : undefined),
    };
    loseCommit(2);
    expect(await reasonOf(add())).toBe("APPLY_FAILED");
    const [operation] = await operations();
    expect(operation?.error).toMatchObject({ message: "does not start", undone: true });
    expect(await seen()).toEqual({ state: DeckyState.RUNNING, services: ["http"], revisions: [3, 3] });
  });

  it("ends a change of the fleet, though it does not hear that its last part ended", async () => {
    loseCommit(2);
    const { operation } = await deploy(`${decky.name}b`);
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
  });

  it("ends a batch that was made while the database went away", async () => {
    hooks = { beforeApply: async () => line.cut() };
    let id = "";
    const batch = async () => {
      const changes = [{ change: { case: "add" as const, value: { decky, service: "redis" } } }];
      for await (const { item } of master.mutations.batchMutate({ changes }))
        if (item.case === "summary") id = item.value.operation;
    };
    expect(await reasonOf(batch())).toBe("STORAGE_UNAVAILABLE");
    hooks = {};
    line.heal();
    const ended = await eventually(async () => {
      const { operation } = await master.operations.getOperation({ id });
      return operation !== undefined && operation.state >= OperationState.SUCCEEDED ? operation : undefined;
    });
    expect(ended.state).toBe(OperationState.SUCCEEDED);
    expect(await seen()).toEqual(running);
  });
});
