import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres } from "@decnet/master/store/private-postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const count = 600;
let master: TestMaster;

beforeAll(async () => {
  master = await useMaster({
    env: { DECNET_DRIFT_INTERVAL_MS: "600000" },
    openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
  });
});
afterAll(() => master?.dispose());

it("the database knows how many rows came with a large fleet, long before it would look by itself", async () => {
  const database = await openDatabase(await openPrivatePostgres(master.config.dataDir));
  try {
    // By itself it looks about a minute after they came, which no test here lasts.
    const known = { name: "test-rows-known", text: "SELECT reltuples::int AS rows FROM pg_class WHERE relname = 'deckies'" };
    const deckies = [{ name: "many-[0001-0600]", services: [{ slug: "redis" }] }];
    await master.fleet.applyFleet({
      fleet: { lan: { name: "decnet_many", subnet: "10.66.0.0/16" }, deckies },
    });
    const rowsKnown = async () => (await database.run<{ rows: number }>(known, []))[0]?.rows;
    expect(await eventually(async () => ((await rowsKnown()) === count ? count : undefined), 20_000)).toBe(count);
  } finally {
    await database.close();
  }
});
