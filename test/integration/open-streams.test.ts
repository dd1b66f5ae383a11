import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createScriptedEngine, type ScriptedEngine } from "../support/scripted-engine.ts";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const soonMs = 2_000;

const reasonOf = async (call: Promise<unknown>) =>
  call.then(
    () => "done",
    (error: unknown) => fromConnectError(error).reason,
  );

describe("a stream whose token no longer allows it", () => {
  let master: TestMaster;
  let scripted: ScriptedEngine;
  let running: string;
  const closing: (() => void)[] = [];

  beforeAll(async () => {
    master = await useMaster({
      env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0" },
      openHostEngine: async ({ catalog }) => {
        scripted = createScriptedEngine(catalog, "test");
        return scripted.engine;
      },
    });
    await deploy(master, { a: ["redis"], b: ["redis"] });
    const decky = { name: `${master.prefix}-a` };
    scripted.hold({ decky: decky.name, verb: "create", slug: "http" });
    const { operation } = await master.mutations.addService({ decky, service: "http", options: { wait: Wait.ACCEPTED } });
    running = operation?.id ?? "";
  });

  afterAll(async () => {
    for (const close of closing) close();
    scripted.reset();
    await master.dispose();
  });

  const makeToken = (role = Role.OPERATOR, seconds?: bigint) =>
    master.access.createToken({ name: "ann", role, ...(seconds === undefined ? {} : { ttl: { seconds } }) });

  const bearer =
    (token: string): Interceptor =>
    (next) =>
    (request) => {
      request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    };

  const overGrpc = (token: string): Transport => {
    const client = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token });
    closing.push(client.close);
    return client.transport;
  };

  const overTls = async (token: string): Promise<Transport> => {
    const caPem = await readFile(join(master.config.dataDir, "pki", "ca.pem"), "utf8");
    const client = createClientTransport({
      address: `https://127.0.0.1:${master.tlsPort}`,
      token,
      tls: { caPem, anyName: true },
    });
    closing.push(client.close);
    return client.transport;
  };

  const baseUrl = () => `http://127.0.0.1:${master.port}`;
  const ways: [string, (token: string) => Transport | Promise<Transport>][] = [
    ["gRPC", overGrpc],
    ["gRPC over TLS", overTls],
    [
      "gRPC-Web over HTTP/1.1",
      (token) => createGrpcWebTransport({ baseUrl: baseUrl(), httpVersion: "1.1", interceptors: [bearer(token)] }),
    ],
    [
      "Connect over HTTP/1.1",
      (token) => createConnectTransport({ baseUrl: baseUrl(), httpVersion: "1.1", interceptors: [bearer(token)] }),
    ],
  ];

  const subscribe = (transport: Transport, signal?: AbortSignal) =>
    createClient(EventService, transport).subscribe({}, signal === undefined ? {} : { signal });

  /** Reads a stream, and resolves once something came of it; `ended` says how it ends. */
  const open = async (stream: AsyncIterable<unknown>) => {
    let messages = 0;
    const read = async (): Promise<unknown> => {
      try {
        for await (const _ of stream) messages += 1;
        return "ended";
      } catch (error) {
        return error;
      }
    };
    const ended = read();
    await eventually(async () => messages > 0);
    return { ended, messages: () => messages };
  };

  const expectRefused = (error: unknown) => {
    expect(error).toBeInstanceOf(ConnectError);
    expect((error as ConnectError).code).toBe(Code.Unauthenticated);
    expect(fromConnectError(error).reason).toBe("UNAUTHENTICATED");
  };

  const streams: [string, (transport: Transport) => AsyncIterable<unknown>][] = [
    ["Subscribe", subscribe],
    ["WatchOperation", (transport) => createClient(OperationService, transport).watchOperation({ id: running })],
    [
      "BatchMutate",
      (transport) => {
        const decky = { name: `${master.prefix}-b` };
        scripted.hold({ decky: decky.name, verb: "create", slug: "ftp" });
        const changes = [{ change: { case: "add" as const, value: { decky, service: "ftp" } } }];
        return createClient(MutationService, transport).batchMutate({ changes });
      },
    ],
  ];

  it.each(streams)("%s ends within two seconds of the revocation", async (_, start) => {
    const { token, secret } = await makeToken();
    const { ended } = await open(start(overGrpc(secret)));
    const before = performance.now();
    await master.access.revokeToken({ id: token?.id ?? "" });
    expectRefused(await ended);
    expect(performance.now() - before).toBeLessThan(soonMs);
  });

  it.each(ways)("over %s too", async (_, transportOf) => {
    const { token, secret } = await makeToken(Role.VIEWER);
    const { ended } = await open(subscribe(await transportOf(secret)));
    await master.access.revokeToken({ id: token?.id ?? "" });
    expectRefused(await ended);
  });

  it("it ends when the token expires", async () => {
    const { secret } = await makeToken(Role.VIEWER, 2n);
    const before = performance.now();
    const { ended } = await open(subscribe(overGrpc(secret)));
    expectRefused(await ended);
    expect(performance.now() - before).toBeLessThan(2_000 + soonMs);
  });

  it("a cancelled change and a cursor that nobody gave have reasons of their own", async () => {
    const decky = { name: `${master.prefix}-a` };
    const change = master.mutations
      .addService({ decky, service: "ftp" })
      .catch((error: unknown) => fromConnectError(error).reason);
    const id = await eventually(async () => {
      const { operations } = await master.operations.listOperations({ filter: "service=ftp,state=pending" });
      return operations[0]?.id;
    });
    const request = { id, reason: "not today", requestId: "cancel-1" };
    await master.operations.cancelOperation(request);
    // A caller that did not hear the answer asks again: it is the same cancel, also when the operation has ended.
    const { operation } = await master.operations.cancelOperation(request);
    expect(operation).toMatchObject({ cancelledBy: "admin", cancelReason: "not today" });
    expect(await reasonOf(master.operations.cancelOperation({ id, requestId: "cancel-2" }))).toBe("OPERATION_ENDED");
    const { entries } = await master.access.listAudit({ filter: `target=${id}` });
    expect(entries.filter(({ outcome }) => outcome === "accepted").length).toBeGreaterThan(0);
    expect(entries).toContainEqual(expect.objectContaining({ reason: "not today", outcome: "accepted", operation: id }));
    expect(await change).toBe("OPERATION_CANCELLED");
    for (const cursor of ["999999999999999999", "x", "-1", "01"]) {
      const read = async () => {
        for await (const _ of master.events.subscribe({ cursor }));
      };
      expect(await read().catch((error: unknown) => fromConnectError(error).reason)).toBe("CURSOR_INVALID");
    }
  });

  it("streams of other tokens stay open", async () => {
    const { token } = await makeToken();
    const end = new AbortController();
    const { ended, messages } = await open(subscribe(overGrpc(master.token), end.signal));
    await master.access.revokeToken({ id: token?.id ?? "" });
    const before = messages();
    scripted.reset();
    await eventually(async () => messages() > before);
    end.abort();
    await ended;
  });
});
