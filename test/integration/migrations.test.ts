import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres, type PrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";

const statementMs = 300;

describe("the schema", () => {
  let folder: string;
  let server: PrivatePostgres;
  let first: Database;
  const opened: Database[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    server = await openPrivatePostgres(folder);
    first = await openDatabase(server);
  });
  afterAll(async () => {
    for (const database of [first, ...opened]) await database?.close();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const query = <Row>(database: Database, text: string): Promise<Row[]> => database.read((tx) => managerOf(tx).query(text));

  it("is brought up to date by one master at a time, and the others wait longer than any statement may take", async () => {
    await query(first, "CREATE DATABASE empty TEMPLATE template0");
    const empty = { ...server, database: "empty" };
    let wait: Promise<unknown[]> | undefined;
    const holder = await openDatabase(empty);
    opened.push(holder);
    await query(holder, "DROP SCHEMA public CASCADE");
    await query(holder, "CREATE SCHEMA public");
    await holder.transaction(async (tx) => {
      await managerOf(tx).query("SELECT pg_advisory_xact_lock(7233001)");
      wait = Promise.all([1, 2].map(() => openDatabase(empty, { statementMs }).then((database) => opened.push(database))));
      const late = `SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND NOT granted
        AND now() - query_start > ${2 * statementMs} * interval '1 ms'`;
      await eventually(async () => (await query<object>(first, late)).length === 2);
    });
    await wait;
    const [database] = opened.slice(1);
    const applied = await query<{ name: string }>(database ?? holder, "SELECT name FROM migrations ORDER BY id");
    expect(applied).toEqual(await query(first, "SELECT name FROM migrations ORDER BY id"));
    // Their own statements have their limit again.
    for (const each of opened.slice(1))
      await expect(query(each, "SELECT pg_sleep(5)")).rejects.toThrow(/canceling statement due to statement timeout/);
  });
});
