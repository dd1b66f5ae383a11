import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, Metadata, type requestCallback, type ServiceError } from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("the contract, seen by programs that are not ours", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });

  const grpcurl = (...args: string[]) =>
    execa("grpcurl", ["-plaintext", "-H", `authorization: Bearer ${master.token}`, ...args], {
      env: { PATH: `${root}build/tools:${process.env["PATH"]}` },
      reject: false,
    });
  const address = () => `127.0.0.1:${master.port}`;

  it("grpcurl lists and describes the services", async () => {
    const listed = (await grpcurl(address(), "list")).stdout.split("\n");
    for (const service of [
      "MutationService",
      "FleetService",
      "CatalogService",
      "OperationService",
      "EventService",
      "AccessService",
    ])
      expect(listed).toContain(`decnet.v1.${service}`);
    expect(listed).toContain("grpc.health.v1.Health");
    expect((await grpcurl(address(), "describe", "decnet.v1.AddServiceRequest")).stdout).toContain("MutationOptions options");
    expect((await grpcurl(address(), "grpc.health.v1.Health/Check")).stdout).toContain("SERVING");
  });

  it("grpcurl adds, saves, applies and removes", async () => {
    const call = async (method: string, body: unknown) => {
      const result = await grpcurl("-d", JSON.stringify(body), address(), `decnet.v1.MutationService/${method}`);
      return {
        exitCode: result.exitCode,
        state: result.stdout === "" ? "" : (JSON.parse(result.stdout) as { operation: { state: string } }).operation.state,
        stderr: result.stderr,
      };
    };
    expect((await call("AddService", { decky, service: "http", config: { server_header: "Apache" } })).state).toBe(
      "OPERATION_STATE_SUCCEEDED",
    );
    expect((await call("UpdateServiceConfig", { decky, service: "http", config: { server_header: "IIS" } })).state).toBe(
      "OPERATION_STATE_SUCCEEDED",
    );
    expect((await call("UpdateServiceConfig", { decky, service: "http", apply: true })).state).toBe("OPERATION_STATE_SUCCEEDED");
    expect((await call("RemoveService", { decky, service: "http" })).state).toBe("OPERATION_STATE_SUCCEEDED");
    const twice = await call("RemoveService", { decky, service: "http" });
    expect(twice.exitCode).toBe(64 + 9);
    expect(twice.stderr).toContain("SERVICE_NOT_PRESENT");
  });

  it("curl speaks JSON", async () => {
    const curl = async (method: string, body: unknown) =>
      JSON.parse(
        (
          await execa("curl", [
            "-s",
            "-H",
            `authorization: Bearer ${master.token}`,
            "-H",
            "content-type: application/json",
            "-d",
            JSON.stringify(body),
            `http://${address()}/decnet.v1.${method}`,
          ])
        ).stdout,
      ) as Record<string, Record<string, unknown>>;
    const added = await curl("MutationService/AddService", { decky, service: "ftp" });
    expect(added["operation"]?.["state"]).toBe("OPERATION_STATE_SUCCEEDED");
    const { decky: seen } = await curl("FleetService/GetDecky", { decky });
    expect(seen?.["desiredRevision"]).toBe(seen?.["appliedRevision"]);
    await curl("MutationService/RemoveService", { decky, service: "ftp" });
  });

  it("an independent gRPC client with its own codec works, and gets the reason with the status", async () => {
    const definition = await protoLoader.load("decnet/v1/mutation.proto", { includeDirs: [`${root}proto`], enums: String });
    type Add = new (
      address: string,
      credentials: unknown,
    ) => { AddService(request: unknown, metadata: Metadata, done: requestCallback<unknown>): void; close(): void };
    const { decnet } = loadPackageDefinition(definition) as unknown as { decnet: { v1: { MutationService: Add } } };
    const client = new decnet.v1.MutationService(address(), credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${master.token}`);
    const failure = await new Promise<ServiceError | null>((resolve) =>
      client.AddService({ decky, service: "redis" }, metadata, (error) => resolve(error)),
    );
    client.close();
    expect(failure?.code).toBe(6);
    expect(failure?.metadata.getMap()["grpc-status-details-bin"]?.toString()).toContain("SERVICE_ALREADY_PRESENT");
  });

  it("health and metrics are plain HTTP", async () => {
    expect((await fetch(`http://${address()}/healthz`)).status).toBe(200);
    const parts = { database: "ok", engine: "ok", containment: "ok", keys: "ok" };
    expect(await (await fetch(`http://${address()}/readyz`)).json()).toEqual(parts);
    expect(await (await fetch(`http://${address()}/metrics`)).text()).toContain("decnet_apply_duration_seconds");
  });
});
