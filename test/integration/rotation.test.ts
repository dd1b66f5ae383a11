import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { fromConnectError } from "@decnet/common/rpc/errors";
import type { Decky } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const hour = durationFromMs(3_600_000);

/** The clock that counts is the database's: the test moves what is due, and waits for nothing else. */
describe("a decky whose services change by themselves", () => {
  let master: TestMaster;
  let database: Database;
  const name = (suffix: string) => `${master.prefix}-${suffix}`;
  const decky = () => ({ name: name("web") });
  const fleet = () => ({
    lan: master.lan,
    rotate: { every: hour, services: ["http", "redis"] },
    deckies: [
      { name: name("web"), services: [{ slug: "redis", config: { maxmemory_mb: 32 } }] },
      { name: name("still"), services: [{ slug: "redis" }], rotate: {} },
    ],
  });
  const read = async (of = decky()): Promise<Decky> =>
    (await master.fleet.getDecky({ decky: of })).decky ?? expect.fail("no decky");
  const slugs = (of: Decky) => of.services.map(({ slug }) => slug).sort();
  const query = (text: string) => database.transaction((tx) => managerOf(tx).query(text)) as Promise<unknown>;
  const open = async () => {
    database = await openDatabase(await openPrivatePostgres(master.config.dataDir));
  };
  const makeDue = () => query("UPDATE rotations SET next_at = now() - interval '1 minute'");
  const rotationsOf = async (of = decky()) =>
    (await master.operations.listOperations({ filter: `actor=rotation,decky=${of.name}` })).operations;
  /** The number of rotations that have ended and were noted. */
  const noted = (count: number) =>
    eventually(async () => {
      const operations = await rotationsOf();
      const isOver = operations.every(({ state }) => state !== OperationState.RUNNING && state !== OperationState.PENDING);
      const open = (await query("SELECT FROM rotations WHERE operation_id IS NOT NULL")) as unknown[];
      return isOver && operations.length === count && open.length === 0;
    }, 40_000);

  beforeAll(async () => {
    master = await useMaster();
    await open();
    await master.fleet.applyFleet({ fleet: fleet() });
  });
  afterAll(async () => {
    await database?.close();
    await master?.dispose();
  });

  it("says so, and when; one that is to stay as it is says nothing", async () => {
    const { rotation } = await read();
    expect(rotation).toMatchObject({ failures: 0, message: "", pinned: [], barred: [] });
    expect(rotation?.setting).toMatchObject({ every: { seconds: 3_600n }, services: ["http", "redis"] });
    const inMs = Number(rotation?.nextAt?.seconds) * 1_000 - Date.now();
    expect(inMs).toBeGreaterThan(1_700_000);
    expect(inMs).toBeLessThan(3_700_000);
    expect((await read({ name: name("still") })).rotation).toBeUndefined();
    const exported = (await master.fleet.getFleet({})).fleet?.deckies ?? [];
    expect(exported.map(({ rotate }) => rotate?.every?.seconds).sort()).toEqual([3_600n, undefined]);
  });

  it("changes when its time has come, once, as an operation; base and neighbours stay", async () => {
    const before = await containersOf(master.prefix);
    await makeDue();
    await noted(1);
    const [operation] = await rotationsOf();
    expect(operation).toMatchObject({
      kind: OperationKind.ROTATE_SERVICES,
      state: OperationState.SUCCEEDED,
      actor: "rotation",
    });
    expect(operation?.error).toBeUndefined();
    const after = await read();
    expect([["http"], ["http", "redis"]]).toContainEqual(slugs(after));
    expect(after.rotation?.lastAt).toBeDefined();
    expect(Number(after.rotation?.nextAt?.seconds) * 1_000).toBeGreaterThan(Date.now() + 3_000_000);
    const now = await containersOf(master.prefix);
    expect(now.get(name("web"))).toBe(before.get(name("web")));
    for (const each of [name("still"), name("still-redis")]) expect(now.get(each)).toBe(before.get(each));
    expect(await dockerLines(["ps", "--format", "{{.Names}}", "--filter", `name=^/${name("web-http")}$`])).toHaveLength(1);
    expect(await rotationsOf({ name: name("still") })).toEqual([]);
    const events: string[] = [];
    const patterns = [`decky.${decky().name}.rotated`];
    for await (const { item } of master.events.subscribe({ patterns, since: timestampFromMs(0) })) {
      if (item.case !== "event") continue;
      events.push(item.value.topic);
      break;
    }
    expect(events).toEqual([`decky.${decky().name}.rotated`]);
  });

  it("stays as it has become when the same file is applied again", async () => {
    const before = await read();
    const { operation } = await master.fleet.applyFleet({ fleet: fleet() });
    expect(operation?.children).toEqual([]);
    const after = await read();
    expect(slugs(after)).toEqual(slugs(before));
    expect(after.rotation?.nextAt).toEqual(before.rotation?.nextAt);
  });

  it("rotates after the master was down, once and not for every time that it missed", async () => {
    const before = (await rotationsOf()).length;
    await database.close();
    await master.restart();
    await open();
    await query("UPDATE rotations SET next_at = now() - interval '10 days'");
    await noted(before + 1);
    expect(Number((await read()).rotation?.nextAt?.seconds) * 1_000).toBeGreaterThan(Date.now() + 3_000_000);
  });

  it("can be asked for now: the plan that is shown is the one that is done", async () => {
    const planned = await master.fleet.rotateDecky({ decky: decky(), options: { dryRun: true } });
    expect(planned.operation).toMatchObject({ id: "", kind: OperationKind.ROTATE_SERVICES });
    const again = await master.fleet.rotateDecky({ decky: decky(), options: { dryRun: true } });
    const expectedPlan = planned.operation?.plan?.digest ?? "";
    expect(again.operation?.plan?.digest).toBe(expectedPlan);
    const wanted = planned.operation?.plan?.changes.map(({ service, action }) => [service, action]);
    const { operation } = await master.fleet.rotateDecky({ decky: decky(), options: { expectedPlan } });
    expect(operation).toMatchObject({ state: OperationState.SUCCEEDED, actor: "admin" });
    expect(operation?.plan?.changes.map(({ service, action }) => [service, action])).toEqual(wanted);
  });

  it("does nothing against what an operator decided since", async () => {
    const present = slugs(await read());
    const { mutations } = master;
    if (!present.includes("redis")) await mutations.addService({ decky: decky(), service: "redis" });
    else await mutations.updateServiceConfig({ decky: decky(), service: "redis", config: { maxmemory_mb: 48 }, apply: true });
    if (!slugs(await read()).includes("http")) await mutations.addService({ decky: decky(), service: "http" });
    await mutations.removeService({ decky: decky(), service: "http" });
    const refused = await master.fleet.rotateDecky({ decky: decky() }).catch(fromConnectError);
    expect(refused).toMatchObject({ reason: "ROTATION_IMPOSSIBLE", metadata: { decky: decky().name } });
    expect((await read()).rotation).toMatchObject({ pinned: ["redis"], barred: ["http"] });
    const before = await containersOf(master.prefix);
    await makeDue();
    const { rotation } = await eventually(async () => {
      const found = await read();
      return (found.rotation?.failures ?? 0) > 0 && found;
    }, 20_000);
    expect(rotation?.message).toContain("no other set of services");
    expect(Number(rotation?.nextAt?.seconds) * 1_000).toBeGreaterThan(Date.now() + 7_000_000);
    expect(await containersOf(master.prefix)).toEqual(before);
  });

  it("ends with the file that says nothing of it", async () => {
    const { rotate: _, ...rest } = fleet();
    await master.fleet.applyFleet({ fleet: rest });
    expect((await read()).rotation).toBeUndefined();
    expect(await query("SELECT FROM rotations")).toEqual([]);
  });
});
