import { randomBytes } from "node:crypto";
import { createLogger } from "@decnet/common/logging/logger";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { createFrontDoor } from "@decnet/master/changes/accept";
import { createBatches } from "@decnet/master/changes/batches";
import { createBoard } from "@decnet/master/convergence/board";
import { type Database, openDatabase } from "@decnet/master/store/database";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { createSecretBox } from "@decnet/master/store/secret-box";
import { createStore, type Store } from "@decnet/master/store/store";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { openReadyPostgres } from "../support/ready-database.ts";
import { type Place, usePlace } from "../support/use-master.ts";

describe("a batch that was not closed", () => {
  let place: Place;
  let server: PrivatePostgres;
  let database: Database;
  let store: Store;

  beforeAll(async () => {
    place = await usePlace();
    server = await openReadyPostgres(place.dataDir);
    database = await openDatabase(server);
    const box = createSecretBox(randomBytes(32));
    store = createStore(database, box, await loadCatalog([ownCatalog]), createLogger("test", "error"));
  });

  afterAll(async () => {
    await database.close();
    await server.stop();
    await place.dispose();
  });

  /** The batches of one of several masters that use the database. */
  const batchesOf = (master: string) => {
    const requireReachable = () => Promise.reject(new Error("no host is asked"));
    return createBatches(store, createFrontDoor(store, { requireReachable }), createBoard(store.operations), master);
  };

  const begin = async (master: string) => {
    const options = {
      requestId: "",
      expectedRevision: undefined,
      expectedPlan: "",
      dryRun: false,
      reason: "",
      onFailure: "undo",
      whenAway: "queue",
    } as const;
    const { row } = await batchesOf(master).begin({ actor: "olga", options, requestHash: "" }, 3);
    return row.id;
  };

  const lives =
    (...masters: string[]) =>
    (master: string) =>
      masters.includes(master);

  const stateOf = async (id: string) => (await store.operations.get(id)).row.state;

  it("is closed when the master that began it has ended, by its next start or by another master", async () => {
    const id = await begin("first");
    await batchesOf("next").closeOrphans(lives("next"));
    expect(await stateOf(id)).toBe("failed");
    expect((await store.operations.get(id)).row.error?.message).toContain("3 not begun");
  });

  it("is left to its own master by every other one, as long as that may live", async () => {
    const id = await begin("first");
    await batchesOf("second").closeOrphans(lives("first", "second"));
    expect(await stateOf(id)).toBe("running");
  });
});
