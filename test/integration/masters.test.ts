import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { createGate, type Gate } from "../support/gate.ts";
import type { KillableMaster } from "../support/killable-master.ts";
import {
  fleetOn,
  followEvents,
  isConnected,
  type MemoryWorker,
  type SeveralMasters,
  useSeveralMasters,
} from "../support/several-masters.ts";

/** The worker of this test is connected to the second master; the first one is asked. */
describe("two masters on one database", () => {
  let several: SeveralMasters;
  let first: KillableMaster;
  let second: KillableMaster;
  let worker: MemoryWorker;
  const gate: Gate = createGate();

  beforeAll(async () => {
    // At the first address of each nobody answers.
    several = await useSeveralMasters(2, { DECNET_ADVERTISE: "127.0.0.1:1,127.0.0.1" });
    [first, second] = several.masters as [KillableMaster, KillableMaster];
    worker = await several.join(second, "edge-1", { beforeStep: gate.pass });
    await eventually(() => isConnected(first, "edge-1"));
    await second.clients.fleet.applyFleet(fleetOn({ web: "edge-1", own: "m1", other: "m2" }));
  });
  afterAll(() => several?.dispose());

  const add = (master: KillableMaster, name: string, service: string, requestId = "", wait = Wait.APPLIED) =>
    master.clients.mutations.addService({ decky: { name }, service, options: { requestId, wait } });
  const reasonOf = (call: Promise<unknown>) =>
    call.then(
      () => "done",
      (error: unknown) => fromConnectError(error).reason,
    );

  it("does at the master that has the host what another one was asked for, and returns its end", async () => {
    const took: number[] = [];
    for (const service of ["redis", "ftp", "telnet"]) {
      const since = performance.now();
      const { operation } = await add(first, "web", service);
      took.push(performance.now() - since);
      expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, host: "edge-1" });
      expect(operation?.steps.length).toBeGreaterThan(0);
      expect(operation?.receipt?.containers.map(({ name }) => name)).toContain(`web-${service}`);
    }
    // Told by notification, both ways, and not found out by looking.
    expect(Math.min(...took)).toBeLessThan(900);
    for (const service of ["ftp", "telnet"]) await first.clients.mutations.removeService({ decky: { name: "web" }, service });
  });

  it("has one host of its own for each master, by name, and either is asked for both", async () => {
    for (const [name, host] of [
      ["own", "m1"],
      ["other", "m2"],
    ] as const) {
      expect((await add(first, name, "ftp")).operation).toMatchObject({ state: OperationState.SUCCEEDED, host });
      expect((await add(second, name, "redis")).operation).toMatchObject({ state: OperationState.SUCCEEDED, host });
    }
    const { hostName, masters } = await second.clients.access.whoAmI({});
    expect([hostName, masters.map((master) => master.hostName), masters.every(({ isThere }) => isThere)]).toEqual([
      "m2",
      ["m1", "m2"],
      true,
    ]);
    // Neither is a name for a worker, nor taken by a third master.
    expect(await reasonOf(first.clients.swarm.createJoinToken({ hostName: "m2" }))).toBe("REQUEST_INVALID");
  });

  it("plans through the master that has the host", async () => {
    const { operation } = await first.clients.mutations.addService({
      decky: { name: "web" },
      service: "ftp",
      options: { dryRun: true },
    });
    expect(operation?.plan?.steps.map(({ verb, target }) => `${verb} ${target}`)).toContain("create web-ftp");
  });

  it("has one operation for a request that comes again at another master", async () => {
    gate.close("fleet/web");
    const ids = await Promise.all(
      [first, second, first].map(async (master) => (await add(master, "web", "ftp", "again", Wait.ACCEPTED)).operation?.id),
    );
    gate.open("fleet/web");
    expect(new Set(ids).size).toBe(1);
    await eventually(async () => {
      const { operation } = await second.clients.operations.getOperation({ id: ids[0] ?? "" });
      return operation?.state === OperationState.SUCCEEDED;
    });
    expect((await add(second, "web", "ftp", "again", Wait.ACCEPTED)).operation?.id).toBe(ids[0]);
    expect(await several.query("SELECT id FROM operations WHERE request_id = 'again'")).toHaveLength(1);
  });

  it("cancels at any master what runs at another", async () => {
    gate.close("fleet/web");
    const { operation } = await add(second, "web", "telnet", "", Wait.ACCEPTED);
    await gate.reached("fleet/web");
    await first.clients.operations.cancelOperation({ id: operation?.id ?? "" });
    gate.open("fleet/web");
    await eventually(async () => {
      const { operation: now } = await first.clients.operations.getOperation({ id: operation?.id ?? "" });
      return now?.state === OperationState.CANCELLED;
    });
    expect(
      (await first.clients.fleet.getDecky({ decky: { name: "web" } })).decky?.services.map(({ slug }) => slug),
    ).not.toContain("telnet");
  });

  it("takes a token of one master at every other", async () => {
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${second.port}`, token: first.token });
    const mutations = createClient(MutationService, transport);
    const { operation } = await mutations.removeService({ decky: { name: "own" }, service: "ftp" }).finally(close);
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
  });

  it("lets nobody but masters ask a host through another master", async () => {
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${second.port}`, token: second.token });
    expect(await reasonOf(createClient(AgentService, transport).inspect({}).finally(close))).toBe("CERTIFICATE_REFUSED");
  });

  it("tells a worker where both are", async () => {
    const addresses = (await several.query<{ addresses: string[] }>("SELECT addresses FROM masters")).flatMap(
      (row) => row.addresses,
    );
    const known = [...new Set(addresses)].sort();
    expect(known).toHaveLength(3);
    await eventually(async () => (await worker.masters()).length === known.length);
    expect([...(await worker.masters())].sort()).toEqual(known);
  });

  it("shows every event once, in order, to a reader who goes from one to the other", async () => {
    const seen: string[] = [];
    for (const [at, reader] of [first, second, first, second].entries()) {
      const name = at % 2 === 0 ? "own" : "other";
      const changes = Promise.all([add(first, "web", "telnet"), add(second, name, "telnet")]).then(() =>
        Promise.all(
          ["web", name].map((decky) => second.clients.mutations.removeService({ decky: { name: decky }, service: "telnet" })),
        ),
      );
      // In the middle of it the reader goes away, and comes back at the other master.
      await followEvents(reader, seen, at === 3 ? () => changes.then(() => several.lastEvent()) : 4);
      await changes;
    }
    const all = await several.query<{ position: string }>(
      "SELECT position::text AS position FROM outbox ORDER BY outbox.position",
    );
    expect(seen).toEqual(all.map(({ position }) => position));
  });
});
