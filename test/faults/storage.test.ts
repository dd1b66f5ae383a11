import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { openDatabase } from "@decnet/master/store/database";
import { openPrivatePostgres, type PrivatePostgres } from "@decnet/master/store/private-postgres";
import { managerOf } from "@decnet/master/store/transaction";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { recordLog } from "../support/record-log.ts";
import { eventually, type Place, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

describe("a master whose database takes no writes", () => {
  const { log, lines } = recordLog();
  let place: Place;
  let disk: string;
  let master: TestMaster;
  const deckies = ["a", "b"].map((name) => ({ name, services: [{ slug: "http" }] }));

  beforeAll(async () => {
    place = await usePlace();
    disk = join(place.dataDir, "postgres");
    await mkdir(disk);
    await execa("mount", ["-t", "tmpfs", "-o", "size=96m", "tmpfs", disk]);
    const dispose = async () => {
      await execa("umount", [disk]);
      await place.dispose();
    };
    master = await useMaster({
      place: { ...place, dispose },
      log,
      env: { DECNET_DRIFT_INTERVAL_MS: "300" },
      openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }),
    });
    await master.fleet.applyFleet({ fleet: { lan: { name: "lan", subnet: "10.77.0.0/24" }, deckies } });
  });
  afterAll(() => master.dispose());

  const readyz = async () => {
    const response = await fetch(`http://127.0.0.1:${master.port}/readyz`);
    return [response.status, ((await response.json()) as { database: string }).database] as const;
  };
  const health = async () => {
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token: "" });
    const { status } = await createClient(Health, transport).check({}).finally(close);
    return Status[status];
  };
  const isWell = async () => (await readyz())[0] === 200 && (await health()) === "SERVING";
  const reasonOf = async (call: Promise<unknown>) =>
    call.then(
      () => "done",
      (error: unknown) => fromConnectError(error).reason,
    );
  const services = async (name: string) =>
    (await master.fleet.getDecky({ decky: { name } })).decky?.services.map(({ slug }) => slug);
  const change = async (service: string) => reasonOf(master.mutations.addService({ decky: { name: "a" }, service }));
  const sql = async (statement: string) => {
    const database = await openDatabase({
      socketFolder: await socketFolder(),
      database: "postgres",
      user: "decnet",
    });
    await database.read((tx) => managerOf(tx).query(statement)).finally(() => database.close());
  };
  const socketFolder = async () => {
    const { stdout } = await execa("grep", ["-m1", "-oE", "^/run/decnet-[0-9a-f]+", join(disk, "data/postmaster.pid")]);
    return stdout;
  };

  it("because it is read-only says so to callers, in readyz and in health, and changes nothing", async () => {
    await sql("ALTER SYSTEM SET default_transaction_read_only = on");
    await sql("SELECT pg_reload_conf()");
    await eventually(async () => (await readyz())[0] === 503);
    expect(await readyz()).toEqual([503, "the database takes no writes: it is read-only"]);
    await eventually(async () => (await health()) === "NOT_SERVING");
    expect(await change("redis")).toBe("STORAGE_READ_ONLY");
    expect(await services("a")).toEqual(["http"]);
    await sql("ALTER SYSTEM RESET default_transaction_read_only");
    await sql("SELECT pg_reload_conf()");
    await eventually(isWell);
    expect(await change("redis")).toBe("done");
  });

  it("because its disk is full says so, in few lines, and goes on by itself when there is room", async () => {
    const filler = join(disk, "filler");
    const errors = () => lines.filter(({ level }) => level === "error");
    const before = errors().length;
    const { bavail, bsize } = await statfs(disk);
    await writeFile(filler, Buffer.alloc(bavail * bsize));
    // What is stored already has room for a few rows more: changes are accepted until there is none.
    const accepted: string[] = [];
    const refused = await eventually(async () => {
      const service = accepted.length % 2 === 0 ? "ftp" : "telnet";
      const request = { decky: { name: "b" }, service, options: { wait: Wait.ACCEPTED } };
      const isThere = (await services("b"))?.includes(service);
      const call = isThere ? master.mutations.removeService(request) : master.mutations.addService(request);
      const reason = await reasonOf(call.then(({ operation }) => void accepted.push(operation?.id ?? "")));
      return reason === "done" ? undefined : reason;
    }, 60_000);
    expect(["STORAGE_FULL", "STORAGE_UNAVAILABLE"]).toContain(refused);
    await eventually(async () => (await readyz())[0] === 503, 30_000);
    expect((await readyz())[1]).toMatch(/disk of the database is full|does not answer/);
    expect(new Set(errors().map(({ message }) => message))).not.toContain("call failed unexpectedly");
    await rm(filler);
    await eventually(isWell, 60_000);
    // Nothing that was accepted is lost, or open for ever.
    for (const id of accepted)
      await eventually(async () => {
        const state = (await master.operations.getOperation({ id })).operation?.state ?? 0;
        return state > OperationState.RUNNING;
      }, 60_000);
    expect(errors().length - before).toBeLessThan(400);
    expect(await change("telnet")).toBe("done");
  });
});

describe("a database that is none for a master", () => {
  let place: Place;
  let server: PrivatePostgres;
  beforeAll(async () => {
    place = await usePlace();
    server = await openPrivatePostgres(place.dataDir);
  });
  afterAll(async () => {
    await server.stop();
    await place.dispose();
  });

  it("because of its encoding is refused at the start, with what to do", async () => {
    const first = await openDatabase(server);
    await first.read((tx) =>
      managerOf(tx).query("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"),
    );
    await first.close();
    const refusal = await openDatabase({ ...server, database: "ascii" }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({
      reason: "STORAGE_UNSUITABLE",
      message: "the database's encoding is SQL_ASCII; the master needs UTF8",
      next: [expect.stringContaining("createdb --encoding UTF8")],
    });
  });
});
