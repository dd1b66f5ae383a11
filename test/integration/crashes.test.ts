import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { testCatalog } from "../support/catalogs.ts";
import { testProgram } from "../support/programs.ts";
import { placeDatabase } from "../support/ready-database.ts";
import { containersOf, eventually, inside, type Place, usePlace } from "../support/use-master.ts";

describe("a master that is killed in the middle of an apply", () => {
  let place: Place;
  let running: { child: ChildProcess; close: () => void } | undefined;
  let decky: { name: string };

  /** A real daemon in a process of its own. */
  const start = async (crashAt: number) => {
    const env = {
      ...process.env,
      CRASH_AT: String(crashAt),
      DECNET_DATA_DIR: place.dataDir,
      DECNET_PORT: "0",
      DECNET_DRIFT_INTERVAL_MS: "1000",
      DECNET_CATALOGUE: testCatalog,
    };
    const child = spawn(process.execPath, testProgram("crashing-master.ts"), {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const port = await new Promise<number>((resolve, reject) => {
      child.stdout?.once("data", (chunk: Buffer) => resolve((JSON.parse(chunk.toString()) as { port: number }).port));
      child.once("exit", () => reject(new Error("the master ended before it listened")));
    });
    const token = (await readFile(`${place.dataDir}/admin.token`, "utf8")).trim();
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
    running = { child, close };
    return {
      child,
      mutations: createClient(MutationService, transport),
      fleet: createClient(FleetService, transport),
      operations: createClient(OperationService, transport),
    };
  };
  const stop = async (signal: NodeJS.Signals) => {
    const { child, close } = running ?? {};
    running = undefined;
    close?.();
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  };

  beforeAll(async () => {
    place = await usePlace();
    await placeDatabase(place.dataDir);
    decky = { name: `${place.prefix}-a` };
    const master = await start(-1);
    await master.fleet.applyFleet({ fleet: { lan: place.lan, deckies: [{ name: decky.name, services: [{ slug: "redis" }] }] } });
    await stop("SIGTERM");
  });
  // One that failed leaves no master to the next.
  afterEach(() => stop("SIGKILL"));
  afterAll(async () => {
    // The private database goes when a master stops gracefully, also when a test left it without one.
    await stop("SIGKILL");
    await start(-1);
    await stop("SIGTERM");
    await place.dispose();
  });

  /** write-project, create, settle: four boundaries. stop and remove take the place of create and settle when it goes. */
  it.each([0, 1, 2, 3].flatMap((boundary) => (["http", "quits"] as const).map((service) => ({ boundary, service }))))(
    "ends the operation after its restart (adding $service, killed at boundary $boundary)",
    async ({ boundary, service }) => {
      const neighbours = await containersOf(decky.name);
      const doomed = await start(boundary);
      const exit = once(doomed.child, "exit");
      const { operation } = await doomed.mutations.addService({ decky, service, options: { wait: 2 } });
      const id = operation?.id ?? "";
      // A failing service never passes the boundary after its settle step: there the master lives on and undoes.
      const crashed = await Promise.race([
        exit.then(() => true),
        eventually(
          async () =>
            (await doomed.operations.getOperation({ id }).catch(() => undefined))?.operation?.state === OperationState.FAILED,
        ).then(() => false),
      ]);
      await stop("SIGKILL");
      if (service === "http") expect(crashed).toBe(true);
      const next = await start(-1);
      const ended = await eventually(async () => {
        const found = (await next.operations.getOperation({ id })).operation;
        return found !== undefined && found.state >= OperationState.SUCCEEDED ? found : undefined;
      });
      const { decky: after } = await next.fleet.getDecky({ decky });
      expect(after?.appliedRevision, ended.error?.message).toBe(after?.desiredRevision);
      if (service === "http") {
        expect(ended.state).toBe(OperationState.SUCCEEDED);
        expect(
          (await inside(decky.name, "curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/"])).stdout,
        ).toBe("200");
        await next.mutations.removeService({ decky, service });
      } else {
        expect(ended.state).toBe(OperationState.FAILED);
        expect(ended.error?.undone).toBe(true);
      }
      expect(await containersOf(decky.name)).toEqual(neighbours);
      await stop("SIGTERM");
    },
  );

  const killDatabase = async () => {
    const [pid = ""] = (await readFile(`${place.dataDir}/postgres/data/postmaster.pid`, "utf8")).split("\n");
    const children = (await execa("ps", ["-o", "pid=", "--ppid", pid])).stdout.split("\n").map(Number);
    for (const each of [Number(pid), ...children]) process.kill(each, "SIGKILL");
  };

  it("starts a private database again that was killed in the middle of a change, which is not lost or doubled", async () => {
    const master = await start(-1);
    const { operation } = await master.mutations.addService({ decky, service: "http", options: { wait: 2 } });
    await killDatabase();
    const ended = await eventually(async () => {
      const found = (await master.operations.getOperation({ id: operation?.id ?? "" }).catch(() => undefined))?.operation;
      return found !== undefined && found.state >= OperationState.SUCCEEDED ? found : undefined;
    }, 60_000);
    expect(ended.state).toBe(OperationState.SUCCEEDED);
    const { decky: after } = await master.fleet.getDecky({ decky });
    expect(after?.services.map((service) => service.slug)).toEqual(["redis", "http"]);
    expect([...(await containersOf(decky.name)).keys()].sort()).toEqual([
      decky.name,
      `${decky.name}-http`,
      `${decky.name}-redis`,
    ]);
    await master.mutations.removeService({ decky, service: "http" });
    await stop("SIGTERM");
  });

  it("finds its database again when both were killed", async () => {
    const master = await start(-1);
    await killDatabase();
    const refused: unknown = await master.fleet.getDecky({ decky }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).toBeDefined();
    await stop("SIGKILL");
    const next = await start(-1);
    expect((await next.fleet.getDecky({ decky })).decky?.services.map((service) => service.slug)).toEqual(["redis"]);
    await stop("SIGTERM");
  });
});
