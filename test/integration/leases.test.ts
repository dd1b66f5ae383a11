import { randomBytes, randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@decnet/common/logging/logger";
import { Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { resolution } from "@decnet/master/decide/resolution";
import { emptyPlan } from "@decnet/master/model/operation";
import { createClaimStore } from "@decnet/master/store/claims";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { createLeaseStore, type Lease, LeaseLost } from "@decnet/master/store/leases";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { createSecretBox } from "@decnet/master/store/secret-box";
import { createStore, type Store } from "@decnet/master/store/store";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { type DatabaseLine, openDatabaseLine } from "../support/database-line.ts";
import { createGate } from "../support/gate.ts";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { openReadyPostgres } from "../support/ready-database.ts";
import { type TestMaster, useMaster } from "../support/use-master.ts";

const lan = { name: "lan", subnet: "10.77.0.0/24" };
const [one, other] = [randomUUID(), randomUUID()];

describe("the lease of a host", () => {
  let folder: string;
  let server: PrivatePostgres;
  let line: DatabaseLine;
  let database: Database;
  let store: Store;
  let master: TestMaster;
  const gate = createGate();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    server = await openReadyPostgres(folder);
    line = await openDatabaseLine(server);
    database = await openDatabase(server);
    store = createStore(
      database,
      createSecretBox(randomBytes(32)),
      await loadCatalog([ownCatalog]),
      createLogger("test", "error"),
    );
    master = await useMaster({
      place: { dataDir: join(folder, "master"), prefix: "", lan, dispose: async () => undefined },
      env: { DECNET_DATABASE_URL: line.url, DECNET_DRIFT_INTERVAL_MS: "3600000" },
      openHostEngine: async ({ catalog, instance }) =>
        createMemoryEngine({ catalog, instance, hooks: { beforeStep: gate.pass } }),
    });
    await master.fleet.applyFleet({ fleet: { lan, deckies: [{ name: "web", services: [{ slug: "http" }] }] } });
  });
  afterAll(async () => {
    gate.open("fleet/web");
    await master?.dispose();
    await database?.close();
    await line?.dispose();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const query = <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
    database.read((tx) => managerOf(tx).query(text, values));

  describe("goes", () => {
    const hear = (instance: string, secondsAgo = 0) =>
      query(
        `INSERT INTO masters (host, holder, instance, place, since, seen_at)
         VALUES ($1, $1, $2, '', now(), now() - $3 * interval '1 s')
         ON CONFLICT (host) DO UPDATE SET seen_at = EXCLUDED.seen_at`,
        [`host-of-${instance}`, instance, secondsAgo],
      );
    const take = async (host: string, instance: string, agent: string) => {
      const taken = await createLeaseStore(database).take(host, { instance, agent, address: "" });
      return taken.kind === "taken" ? taken.epoch : "held";
    };
    const held = async (host: string) => {
      await Promise.all([hear(one), hear(other)]);
      expect(await take(host, one, "agent")).toBe(1);
    };

    it.each<[name: string, then: (host: string) => Promise<unknown>, taken: number | "held"]>([
      ["to its master again, for the same time", (host) => take(host, one, "another agent"), 1],
      ["to no other master while its own is heard of", (host) => take(host, other, "another agent"), "held"],
      ["with the agent that moves, for a new time", (host) => take(host, other, "agent"), 2],
      [
        "to another master when its own is not heard of",
        (host) => hear(one, 11).then(() => take(host, other, "another agent")),
        2,
      ],
      ["not while it is only late", (host) => hear(one, 7).then(() => take(host, other, "another agent")), "held"],
      [
        "to another master once it was let go of",
        (host) => store.leases.release(host, one).then(() => take(host, other, "another agent")),
        2,
      ],
      [
        "to nobody by the word of a master that does not have it",
        (host) => store.leases.release(host, other).then(() => take(host, other, "another agent")),
        "held",
      ],
      ["back, for a third time", (host) => take(host, other, "agent").then(() => take(host, one, "agent")), 3],
      [
        "to another master when its own has stopped",
        async (host) => {
          await createClaimStore(database).release({ host: `host-of-${one}`, holder: "", instance: one, place: "" });
          return take(host, other, "another agent");
        },
        2,
      ],
    ])("%s", async (name, then, taken) => {
      await held(name);
      expect(await then(name)).toBe(taken);
    });
  });

  describe("that another master has since lets count nothing of", () => {
    const leaseNow = async (): Promise<Lease> =>
      (await query<Lease>("SELECT host, epoch FROM host_leases WHERE host = 'local'"))[0] ?? expect.fail("there is no lease");
    const before = async (): Promise<Lease> => ({ host: "local", epoch: (await leaseNow()).epoch - 1 });
    const load = async () => {
      const { situation } = await store.situations.load({ decky: { scope: "fleet", name: "web" } });
      return situation ?? expect.fail("there is no decky");
    };
    const wish = (message: string) => resolution("a test", { decky: { kind: "patch", patch: { message } } });
    const message = async () => (await load()).decky.message;

    it("a commit together with others, of which those of its own host count", async () => {
      const { decky } = await load();
      expect(await store.resolutions.commit({ decky, resolution: wish("too late"), lease: await before() })).toBe(false);
      expect(await message()).not.toBe("too late");
      expect(await store.resolutions.commit({ decky, resolution: wish("in time"), lease: await leaseNow() })).toBe(true);
      expect(await message()).toBe("in time");
    });

    it("a commit that holds the decky's lock", async () => {
      const lease = await before();
      const late = store.resolver.resolve({
        decky: { id: (await load()).decky.id },
        decide: () => wish("too late"),
        lease: () => lease,
      });
      await expect(late).rejects.toBeInstanceOf(LeaseLost);
      expect(await message()).toBe("in time");
    });

    it("the steps and the plan of a running change", async () => {
      gate.close("fleet/web");
      const { operation } = await master.mutations.addService({
        decky: { name: "web" },
        service: "redis",
        options: { wait: Wait.ACCEPTED },
      });
      await gate.reached("fleet/web");
      const id = operation?.id ?? "";
      const record = async (text: string, lease: Lease) => {
        await store.operations.recordProgress(new Map([[id, emptyPlan({ text })]]), [], lease);
        return (await store.operations.get(id)).row.plan?.text;
      };
      expect(await record("too late", await before())).not.toBe("too late");
      expect(await record("in time", await leaseNow())).toBe("in time");
      gate.open("fleet/web");
    });
  });
});
