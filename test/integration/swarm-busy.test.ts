import { setTimeout as delay } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

/** Longer than an agent waits for the answer to a report. */
const busyMs = 17_000;

describe("a master that is too busy to take reports", () => {
  let swarm: Swarm;
  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis"] });
  });
  afterAll(() => swarm?.dispose());

  it("keeps its workers connected, and gets every report afterwards", async () => {
    const { master, workers } = swarm;
    const [worker] = workers;
    if (worker === undefined) throw new Error("a worker is needed");
    const name = `${master.prefix}-a`;
    const placement = { where: { case: "host", value: worker.name } } as const;
    await master.fleet.applyFleet({
      fleet: { lan: master.lan, deckies: [{ name, services: [{ slug: "redis" }], placement }] },
    });
    const connectedSince = async () => {
      const { host } = await master.swarm.getHost({ name: worker.name });
      return host?.connectedSince === undefined ? undefined : timestampMs(host.connectedSince);
    };
    const repairs = async () => (await master.operations.listOperations({ filter: "kind=repair" })).operations;
    const before = await connectedSince();
    expect(before).toBeDefined();
    const database = await openDatabase(await openPrivatePostgres(master.config.dataDir));
    try {
      await database.transaction(async (tx) => {
        await managerOf(tx).query("SELECT FROM hosts WHERE name = $1 FOR UPDATE", [worker.name]);
        await worker.host.docker(["rm", "-f", `${name}-redis`]);
        await eventually(async () => (await worker.containers(`${name}-redis`)).size === 1);
        await delay(busyMs);
        expect(await repairs()).toEqual([]);
      });
    } finally {
      await database.close();
    }
    await eventually(async () => (await repairs()).length > 0);
    expect((await repairs()).map((operation) => operation.decky?.name)).toEqual([name]);
    expect(await connectedSince()).toBe(before);
  });
});
