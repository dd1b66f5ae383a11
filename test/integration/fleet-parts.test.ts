import { createLogger } from "@decnet/common/logging/logger";
import { type Board, createBoard } from "@decnet/master/convergence/board";
import { makeOperation, makeOperationId } from "@decnet/master/model/operation";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { createOperationLog } from "@decnet/master/store/operation-log";
import { createOperationStore, type OperationStore } from "@decnet/master/store/operations";
import { createEventLog } from "@decnet/master/store/outbox";
import { createParentStore, type ParentStore } from "@decnet/master/store/parents";
import type { PrivatePostgres } from "@decnet/master/store/private-postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openReadyPostgres } from "../support/ready-database.ts";
import { type Place, usePlace } from "../support/use-master.ts";

const log = createLogger("test", "error");

describe("a change of many deckies", () => {
  let place: Place;
  let server: PrivatePostgres;
  let database: Database;
  let operations: OperationStore;
  let parents: ParentStore;
  let board: Board;

  beforeAll(async () => {
    place = await usePlace();
    server = await openReadyPostgres(place.dataDir);
    database = await openDatabase(server);
    const events = createEventLog(database);
    const journal = createOperationLog(log);
    operations = createOperationStore(database, events, journal);
    parents = createParentStore(database, events, journal);
    board = createBoard(operations);
  });

  afterAll(async () => {
    await database.close();
    await server.stop();
    await place.dispose();
  });

  /** A change with parts, all of them running. */
  const begin = async (count: number) => {
    const parent = makeOperation({
      id: makeOperationId(),
      createdAt: new Date(),
      kind: "apply_fleet",
      actor: "test",
      state: "running",
    });
    const parts = Array.from({ length: count }, () =>
      makeOperation({
        id: makeOperationId(),
        createdAt: new Date(),
        kind: "deploy_decky",
        actor: "test",
        state: "running",
        parent: parent.id,
      }),
    );
    await database.transaction((tx) => operations.insert(tx, [parent, ...parts]));
    return { parent, parts };
  };

  /** Ends each part in a transaction of its own; none looks at its parent before all have written. */
  const endTogether = async (parts: readonly { id: string }[]) => {
    let written = 0;
    let open: () => void = () => undefined;
    const allWritten = new Promise<void>((resolve) => {
      open = resolve;
    });
    const ended = await Promise.all(
      parts.map(({ id }) =>
        database.transaction(async (tx) => {
          await operations.update(tx, [id], { state: "succeeded", finishedAt: new Date() });
          written += 1;
          if (written === parts.length) open();
          await allWritten;
          return parents.endIn(tx, await operations.parentsOf(tx, [id]));
        }),
      ),
    );
    return ended.flat();
  };

  it("ends exactly once when its last parts end at the same moment", async () => {
    const { parent, parts } = await begin(4);
    expect(await endTogether(parts)).toEqual([parent.id]);
    expect((await operations.get(parent.id)).row.state).toBe("succeeded");
  });

  it("goes on while one part does", async () => {
    const { parent, parts } = await begin(3);
    expect(await endTogether(parts.slice(1))).toEqual([]);
    expect((await operations.get(parent.id)).row.state).toBe("running");
  });

  it("is waited for by somebody who came before its end, and by somebody who came after", async () => {
    const { parent, parts } = await begin(2);
    const patience = AbortSignal.timeout(20_000);
    const early = board.waitForEnd({ row: parent, steps: [], children: [] }, patience);
    board.ended((await endTogether(parts)).map((id) => ({ id, record: undefined })));
    expect((await early).row.state).toBe("succeeded");
    expect((await board.waitForEnd({ row: parent, steps: [], children: [] }, patience)).children).toHaveLength(2);
  });
});
