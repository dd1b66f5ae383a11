import http2 from "node:http2";
import { fileURLToPath } from "node:url";
import { Code, ConnectError } from "@connectrpc/connect";
import { endStreamFromJson, errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createScriptedEngine, type ScriptedEngine } from "../support/scripted-engine.ts";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("what comes with an error", () => {
  let master: TestMaster;
  let scripted: ScriptedEngine;
  let decky: { name: string };

  beforeAll(async () => {
    master = await useMaster({
      openHostEngine: async ({ catalog }) => {
        scripted = createScriptedEngine(catalog, "test");
        return scripted.engine;
      },
    });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });

  afterAll(() => master.dispose());

  const grpcurl = (method: string, body: unknown) =>
    execa(
      "grpcurl",
      ["-plaintext", "-H", `authorization: Bearer ${master.token}`, "-d", "@", `127.0.0.1:${master.port}`, `decnet.v1.${method}`],
      { env: { PATH: `${root}build/tools:${process.env["PATH"]}` }, reject: false, input: JSON.stringify(body) },
    );

  it.each([4_000, 60_000])("a change with settings of %i letters fails with all that grpcurl needs to know", async (size) => {
    const line = "x".repeat(size);
    const outputTail = ["first line", line, "the last line"];
    scripted.fail({ decky: decky.name, verb: "create", slug: "http" }, `http did not start: ${line}`, { outputTail });
    const { exitCode, stderr } = await grpcurl("MutationService/AddService", {
      decky,
      service: "http",
      config: { custom_body: line },
    });
    expect(exitCode).toBe(64 + Code.Aborted);
    for (const part of ["APPLY_FAILED", "http did not start", "the last line", '"undone": "true"'])
      expect(stderr).toContain(part);
    const [, id = ""] = /"operation": "(op-\w+)"/.exec(stderr) ?? [];
    const { operation } = await master.operations.getOperation({ id });
    expect(operation?.error?.outputTail).toContain(line);
  });

  type Sent = { readonly status: number; readonly headers: Headers; readonly body: Buffer; readonly trailers: Headers };

  const post = (path: string, contentType: string, body: Uint8Array): Promise<Sent> =>
    new Promise((resolve, reject) => {
      const session = http2.connect(`http://127.0.0.1:${master.port}`);
      session.on("error", reject);
      const stream = session.request({
        ":method": "POST",
        ":path": `/decnet.v1.${path}`,
        "content-type": contentType,
        authorization: `Bearer ${master.token}`,
        te: "trailers",
      });
      const chunks: Buffer[] = [];
      const toHeaders = (given: http2.IncomingHttpHeaders) =>
        new Headers(Object.entries(given).flatMap(([key, value]) => (key.startsWith(":") ? [] : [[key, String(value)]])));
      let [headers, trailers, status] = [new Headers(), new Headers(), 0];
      stream.on("response", (given) => {
        headers = toHeaders(given);
        status = given[":status"] ?? 0;
      });
      stream.on("trailers", (given) => {
        trailers = toHeaders(given);
      });
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      // What was not read of the request keeps the stream from closing.
      stream.on("end", () => {
        resolve({ status, headers, body: Buffer.concat(chunks), trailers });
        session.destroy();
      });
      stream.end(body);
    });

  const framed = (bytes: Uint8Array, flags = 0) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(flags, 0);
    head.writeUInt32BE(bytes.byteLength, 1);
    return Buffer.concat([head, bytes]);
  };

  const plain = (bytes: Uint8Array) => bytes;
  const fallback = new ConnectError("no error", Code.Unknown);
  const ways: [string, string, string, (bytes: Uint8Array) => Uint8Array, (sent: Sent) => ConnectError | undefined][] = [
    ["gRPC", "AddService", "application/grpc+FORMAT", framed, ({ trailers }) => findTrailerError(trailers)],
    [
      "gRPC-Web",
      "AddService",
      "application/grpc-web+FORMAT",
      framed,
      ({ body }) => findTrailerError(trailerParse(body.subarray(5))),
    ],
    ["Connect", "AddService", "application/FORMAT", plain, ({ body }) => errorFromJsonBytes(body, undefined, fallback)],
    [
      "Connect, a stream",
      "BatchMutate",
      "application/connect+FORMAT",
      framed,
      ({ body }) => endStreamFromJson(body.subarray(5)).error,
    ],
  ];
  const undecodable: [string, string, Uint8Array][] = [
    ["half a message", "proto", new Uint8Array([0x0a, 0x05, 0x01])],
    ["text that is not UTF-8", "proto", new Uint8Array([0x12, 0x02, 0xff, 0xfe])],
    ["no JSON", "json", Buffer.from("{")],
    ["JSON of another type", "json", Buffer.from('{"options":{"expectedRevision":"many"}}')],
    ["JSON with an unknown field", "json", Buffer.from('{"options":{"dryrun":true}}')],
  ];
  const cases = ways.flatMap((way) => undecodable.map((bad) => [way[0], bad[0], way, bad] as const));

  it.each(cases)("%s: %s is refused with a reason", async (_, __, [, method, type, frame, read], [, format, bytes]) => {
    const error = read(await post(`MutationService/${method}`, type.replace("FORMAT", format), frame(bytes)));
    expect(error?.code).toBe(Code.InvalidArgument);
    expect(fromConnectError(error)).toMatchObject({ reason: "REQUEST_INVALID", next: [expect.any(String)] });
    expect(error?.details.length).toBeGreaterThan(0);
  });

  it.each(ways)("%s: a body that is too large is refused with a reason", async (_, method, type, frame, read) => {
    const large = Buffer.concat([Buffer.from([0x12]), varint(5 << 20), Buffer.alloc(5 << 20, "x")]);
    const error = read(await post(`MutationService/${method}`, type.replace("FORMAT", "proto"), frame(large)));
    expect(error?.code).toBe(Code.ResourceExhausted);
    expect(error?.details.length).toBeGreaterThan(0);
    expect(fromConnectError(error).reason).toBe("REQUEST_TOO_LARGE");
  });
});

function varint(value: number): Uint8Array {
  const bytes = [];
  let rest = value;
  for (; rest > 127; rest >>= 7) bytes.push((rest & 127) | 128);
  return new Uint8Array([...bytes, rest]);
}
