import { brotliCompressSync, gzipSync } from "node:zlib";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RpcServer, startRpcServer } from "../server.ts";

let server: RpcServer;
let address: string;
let calls = 0;
const count = () => {
  calls += 1;
  return {};
};

beforeAll(async () => {
  server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    maxRequestBytes: 100_000,
    routes: (router) =>
      router
        .service(MutationService, {
          addService: count,
          async *batchMutate() {
            calls += 1;
            yield {};
          },
        })
        .service(FleetService, { listDeckies: count }),
    interceptors: [],
    fallback: (_, response) => response.writeHead(404).end(),
    graceMs: 50,
  });
  address = `http://127.0.0.1:${server.port}`;
});
afterAll(() => server.close());

const bad = Buffer.from('{"options":{"dryrun":true}}');
const good = Buffer.from('{"options":{"dryRun":true}}');
const refusal = "unknown field options.dryrun; did you mean dryRun?";

async function post(method: string, body: Buffer, headers: Record<string, string>): Promise<{ text: string; called: boolean }> {
  const before = calls;
  const response = await fetch(`${address}/decnet.v1.${method}`, { method: "POST", headers, body: new Uint8Array(body) });
  return { text: (await response.text()) + (response.headers.get("grpc-message") ?? ""), called: calls > before };
}

const json = { "content-type": "application/json" };
const framed = (body: Buffer, flags = 0) => {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
};

describe("a call with an unknown field never reaches its handler", () => {
  it.each<[string, string, (body: Buffer) => Buffer, Record<string, string>]>([
    ["plain", "MutationService/AddService", (body) => body, json],
    ["with a charset", "MutationService/AddService", (body) => body, { "content-type": "application/json; charset=utf-8" }],
    ["gzip", "MutationService/AddService", (body) => gzipSync(body), { ...json, "content-encoding": "gzip" }],
    ["br", "MutationService/AddService", (body) => brotliCompressSync(body), { ...json, "content-encoding": "br" }],
    ["a stream", "MutationService/BatchMutate", (body) => framed(body), { "content-type": "application/connect+json" }],
    [
      "a packed stream",
      "MutationService/BatchMutate",
      (body) => framed(gzipSync(body), 1),
      { "content-type": "application/connect+json", "connect-content-encoding": "gzip" },
    ],
    ["gRPC-Web", "MutationService/AddService", (body) => framed(body), { "content-type": "application/grpc-web+json" }],
  ])("%s", async (_, method, pack, headers) => {
    const refused = await post(method, pack(bad), headers);
    expect(decodeURIComponent(refused.text)).toContain(refusal);
    expect(refused.called).toBe(false);
    expect((await post(method, pack(good), headers)).called).toBe(true);
  });

  it("by GET", async () => {
    const get = async (message: string) => {
      const before = calls;
      const query = `connect=v1&encoding=json&message=${encodeURIComponent(message)}`;
      const response = await fetch(`${address}/decnet.v1.FleetService/ListDeckies?${query}`);
      return { status: response.status, text: await response.text(), called: calls > before };
    };
    expect(await get('{"filters":"a"}')).toMatchObject({ status: 400, called: false });
    expect((await get('{"filters":"a"}')).text).toContain("did you mean filter?");
    expect(await get('{"filter":"a"}')).toMatchObject({ status: 200, called: true });
  });
});

it("a refusal has its reason and its fields", async () => {
  const body = JSON.parse((await post("MutationService/AddService", bad, json)).text) as { code: string; details: unknown[] };
  expect(body.code).toBe("invalid_argument");
  expect(JSON.stringify(body.details)).toMatch(/REQUEST_INVALID.*options\.dryrun/s);
});

it("bytes that are not UTF-8 are refused, not replaced", async () => {
  const refused = await post("MutationService/AddService", Buffer.from('{"service":"\xff"}', "latin1"), json);
  expect(refused).toMatchObject({ called: false });
  expect(refused.text).toContain("not UTF-8");
});

it("what is too large is refused as before, whole or in a stream, packed or not", async () => {
  const large = Buffer.from(`{"service":"${"x".repeat(200_000)}","nobody":1}`);
  for (const [method, body, headers] of [
    ["MutationService/AddService", large, json],
    ["MutationService/AddService", gzipSync(large), { ...json, "content-encoding": "gzip" }],
    ["MutationService/BatchMutate", framed(large), { "content-type": "application/connect+json" }],
  ] as const) {
    const refused = await post(method, body, headers);
    expect(refused).toMatchObject({ called: false });
    expect(refused.text).toContain("resource_exhausted");
  }
});

it.each([
  ["Connect", () => createConnectTransport({ baseUrl: address, httpVersion: "2", useBinaryFormat: false })],
  ["gRPC", () => createGrpcTransport({ baseUrl: address, useBinaryFormat: false })],
  ["gRPC-Web", () => createGrpcWebTransport({ baseUrl: address, httpVersion: "1.1", useBinaryFormat: false })],
])("the JSON of a %s client passes, also in small pieces and as a stream", async (_, transport) => {
  const client = createClient(MutationService, transport());
  const before = calls;
  await client.addService({ service: "ssh", config: { banner: "x".repeat(70_000) } });
  for await (const _response of client.batchMutate({ select: "name=*" }));
  expect(calls).toBe(before + 2);
});
