import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { createGate } from "../support/gate.ts";
import type { KillableMaster } from "../support/killable-master.ts";
import { fleetOn, isConnected, type MemoryWorker, type SeveralMasters, useSeveralMasters } from "../support/several-masters.ts";

/** A host is another master's so long after its own was lost, at most. */
const takeoverMs = 15_000;

/** Where a change is when its master is lost. */
const boundaries = {
  accepted: "before the apply begins on its host",
  create: "before the container is made",
  settle: "before the last step",
} as const;
type Boundary = keyof typeof boundaries;
const names = Object.keys(boundaries) as Boundary[];

describe("a master that is lost in the middle of changes", () => {
  let several: SeveralMasters;
  let first: KillableMaster;
  let second: KillableMaster;
  let worker: MemoryWorker;
  const gate = createGate();

  /** A decky for each boundary, on the worker, whose agent is connected to the second master. */
  beforeAll(async () => {
    several = await useSeveralMasters(2);
    [first, second] = several.masters as [KillableMaster, KillableMaster];
    worker = await several.join(second, "edge-1", {
      beforeApply: (key, signal) => gate.pass(`${key} accepted`, undefined, signal),
      beforeStep: (key, { verb }, signal) => gate.pass(`${key} ${verb}`, undefined, signal),
    });
    await eventually(() => isConnected(first, "edge-1"));
    await second.clients.fleet.applyFleet(fleetOn(Object.fromEntries(names.map((name) => [name, "edge-1"]))));
  });
  afterAll(() => several?.dispose());

  const change = async (master: KillableMaster, name: string, service: string) => {
    const options = { wait: Wait.ACCEPTED, requestId: `${service} of ${name}` };
    const { operation } = await master.clients.mutations.addService({ decky: { name }, service, options });
    return operation?.id ?? "";
  };
  /** Each decky's change is at its boundary. */
  const begin = async (master: KillableMaster, service: string): Promise<string[]> => {
    for (const name of names) gate.close(`fleet/${name} ${name}`);
    const ids: string[] = [];
    for (const name of names) ids.push(await change(master, name, service));
    for (const name of names) await gate.reached(`fleet/${name} ${name}`);
    return ids;
  };
  const goOn = () => {
    for (const name of names) gate.open(`fleet/${name} ${name}`);
  };
  const untilEnded = (ids: readonly string[], by: KillableMaster) =>
    eventually(async () => {
      const ended = await Promise.all(ids.map(async (id) => (await by.clients.operations.getOperation({ id })).operation?.state));
      return ended.every((state) => (state ?? 0) > OperationState.RUNNING) && ended;
    }, takeoverMs);
  const leaseOf = async (host: string) => {
    const rows = await several.query<{ epoch: number; master: string }>(
      "SELECT lease.epoch, masters.host AS master FROM host_leases AS lease JOIN masters USING (instance) WHERE lease.host = $1",
      [host],
    );
    return rows[0];
  };
  /** Each change ended once, with what it wanted, and that is what the deckies have. */
  const expectEndedOnce = async (ids: readonly string[], services: readonly string[], by: KillableMaster) => {
    const told = await several.query<{ operation: string; state: string }>(
      `SELECT payload ->> 'operation' AS operation, payload ->> 'state' AS state FROM outbox
       WHERE topic LIKE 'decky.%.lifecycle' AND payload ->> 'operation' = ANY ($1)`,
      [ids],
    );
    expect(told.map(({ operation, state }) => `${operation} ${state}`).sort()).toEqual(ids.map((id) => `${id} succeeded`).sort());
    expect(await several.query("SELECT id FROM operations WHERE state IN ('pending', 'running')")).toEqual([]);
    expect(await several.query("SELECT operation_id, verb FROM operation_steps WHERE state = 'running'")).toEqual([]);
    for (const name of names) {
      const { decky } = await by.clients.fleet.getDecky({ decky: { name } });
      expect(decky?.services.map(({ slug }) => slug).sort()).toEqual([...services].sort());
      const rows = await several.query<{ desired: number; applied: number }>(
        "SELECT desired_revision AS desired, applied_revision AS applied FROM deckies WHERE name = $1",
        [name],
      );
      expect(rows).toEqual([{ desired: services.length, applied: services.length }]);
    }
  };

  it("because it stands still: another one has its hosts, and nothing that it does when it goes on counts", async () => {
    const ids = await begin(second, "redis");
    const before = await leaseOf("edge-1");
    expect(before?.master).toBe("m2");
    second.pause();
    // What its host had accepted goes on there, and its answers wait for the master that stands still.
    goOn();
    const since = performance.now();
    expect(await untilEnded(ids, first)).toEqual(ids.map(() => OperationState.SUCCEEDED));
    expect(performance.now() - since).toBeLessThan(takeoverMs);
    await expectEndedOnce(ids, ["http", "redis"], first);
    expect(await leaseOf("edge-1")).toEqual({ epoch: (before?.epoch ?? 0) + 1, master: "m1" });
    const stored = () => several.query("SELECT * FROM operations ORDER BY id");
    const ended = await stored();
    second.resume();
    await eventually(async () => /what was done here does not count/.test(second.log));
    await eventually(
      async () => (await several.query("SELECT 1 FROM masters WHERE seen_at > now() - interval '3 s'")).length === 2,
    );
    expect(await stored()).toEqual(ended);
    await expectEndedOnce(ids, ["http", "redis"], first);
    // It is a master like the other again, and knows who has the host.
    const again = await Promise.all(names.map((name) => change(second, name, "redis")));
    expect(again).toEqual(ids);
    expect((await leaseOf("edge-1"))?.master).toBe("m1");
  });

  it("because it is killed: another one has its hosts at once, and each change ends once", async () => {
    const ids = await begin(first, "ftp");
    const before = await leaseOf("edge-1");
    expect(before?.master).toBe("m1");
    const since = performance.now();
    await first.kill();
    await eventually(() => isConnected(second, "edge-1"), takeoverMs);
    goOn();
    expect(await untilEnded(ids, second)).toEqual(ids.map(() => OperationState.SUCCEEDED));
    expect(performance.now() - since).toBeLessThan(takeoverMs);
    await expectEndedOnce(ids, ["ftp", "http", "redis"], second);
    expect(await leaseOf("edge-1")).toEqual({ epoch: (before?.epoch ?? 0) + 1, master: "m2" });
    // Who did not hear of the end, because the master was gone, asks another one.
    const again = await Promise.all(names.map((name) => change(second, name, "ftp")));
    expect(again).toEqual(ids);
  });

  it("because it is told to stop: it lets go of its hosts, and its batch is closed", async () => {
    first = await several.start(1);
    // Where it is now is told to workers of other masters at once.
    const [now] = await several.query<{ address: string }>("SELECT addresses[1] AS address FROM masters WHERE host = 'm1'");
    await eventually(async () => (await worker.masters()).includes(now?.address ?? ""));
    const ids = await begin(second, "telnet");
    const changes = [{ change: { case: "remove" as const, value: { decky: { name: names[0] ?? "" }, service: "http" } } }];
    const batch = second.clients.mutations.batchMutate({ changes, options: { wait: Wait.APPLIED } })[Symbol.asyncIterator]();
    const begun: unknown = await batch.next();
    expect(begun).toBeDefined();
    const since = performance.now();
    const stopped = second.stop();
    await eventually(() => isConnected(first, "edge-1"), takeoverMs);
    goOn();
    expect(await untilEnded(ids, first)).toEqual(ids.map(() => OperationState.SUCCEEDED));
    expect(performance.now() - since).toBeLessThan(takeoverMs);
    await stopped;
    await eventually(
      async () => (await several.query("SELECT id FROM operations WHERE state IN ('pending', 'running')")).length === 0,
    );
    expect((await leaseOf("edge-1"))?.master).toBe("m1");
  });
});
