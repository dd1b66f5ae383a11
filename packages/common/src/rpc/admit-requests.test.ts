import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createClientTransport } from "./client.ts";
import { registerHealth } from "./health.ts";
import { type RpcServer, startRpcServer } from "./server.ts";

const check = "/grpc.health.v1.Health/Check";
const defects: unknown[] = [];
let server: RpcServer;
let stopping: AbortController;

const serve = (host: string) =>
  startRpcServer({
    host,
    port: 0,
    routes: (router) => registerHealth(router, [], () => true, stopping.signal),
    interceptors: [],
    async fallback(request, response) {
      if (request.url === "/rejects") throw new Error("a defect of the fallback");
      response.writeHead(404).end();
    },
    onDefect: (error) => defects.push(error),
    graceMs: 0,
  });

beforeAll(async () => {
  stopping = new AbortController();
  server = await serve("127.0.0.1");
});
afterAll(async () => {
  stopping.abort();
  await server.close();
});

/** Sends bytes and reads until the other side hangs up; the first line of what came. */
async function say(text: string): Promise<string> {
  const socket = net.connect(server.port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("error", () => undefined).on("data", (chunk) => chunks.push(chunk));
  socket.setTimeout(5_000, () => socket.destroy());
  socket.write(text);
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1").split("\r\n")[0] ?? "";
}

const post = (head: string, target = check, version = "1.1") =>
  say(
    `POST ${target} HTTP/${version}\r\n${head}content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`,
  );

/** The status of one request, or the name of the error that ended its stream. */
async function ask(headers: http2.OutgoingHttpHeaders): Promise<number | string> {
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  session.on("error", () => undefined);
  const stream = session.request({ ":method": "POST", ":path": check, "content-type": "application/json", ...headers });
  try {
    return await new Promise<number | string>((resolve) => {
      stream.on("response", (answer) => resolve(answer[":status"] ?? 0));
      stream.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      stream.end("{}");
    });
  } finally {
    stream.close();
    session.destroy();
  }
}

describe("over HTTP/1", () => {
  it.each([
    "[",
    "]",
    "a b",
    "",
    "a/b",
    "a:b",
    "a:99999",
    "user@a",
    "a,b",
    "[::1",
    "[1.2.3]:x",
    "::::",
    "ä",
    "a\\b",
    "%00",
    "[::1]x",
  ])("a request for the host %j gets 400", async (host) => {
    expect(await post(`Host: ${host}\r\n`)).toMatch(/^HTTP\/1.1 400 /);
  });

  it("two hosts, or none, get 400", async () => {
    expect(await post("Host: a\r\nHost: a\r\n")).toMatch(/^HTTP\/1.1 400 /);
    expect(await post("")).toMatch(/^HTTP\/1.1 400 /);
    expect(await post("", check, "1.0")).toMatch(/^HTTP\/1.1 400 /);
  });

  it("a host that is one is served, with and without a port", async () => {
    for (const host of ["a", "a.example:7440", "127.0.0.1", "[::1]:7440", "::1:7440", "under_score"])
      expect(await post(`Host: ${host}\r\n`)).toBe("HTTP/1.1 200 OK");
  });

  it("a probe of HTTP/1.0 needs no host", async () => {
    expect(await say("GET /healthz HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 404 /);
    expect(await say("HEAD /healthz HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 404 /);
  });

  it.each(["*", "http://a/", `http://[${check}`, "//[", "a:80"])("the target %j gets 400", async (target) => {
    expect(await post("Host: a\r\n", target)).toMatch(/^HTTP\/1.1 400 /);
  });

  it("a tunnel is refused, an offer to upgrade is not taken up", async () => {
    expect(await say("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
    expect(await post("Host: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")).toBe("HTTP/1.1 200 OK");
  });
});

describe("over HTTP/2", () => {
  it.each(["[", "a:b", "[::1", "::::", "%00"])("the authority %j gets 400", async (authority) => {
    expect(await ask({ ":authority": authority })).toBe(400);
  });

  it("an authority that names a user gets 400, or, from Node.js 22 on, is forbidden by the protocol already", async () => {
    expect([400, "ERR_HTTP2_STREAM_ERROR"]).toContain(await ask({ ":authority": "user@a" }));
  });

  it("a host that differs from the authority gets 400, and so does a path that makes no URL", async () => {
    expect(await ask({ ":authority": "a", host: "b" })).toBe(400);
    expect(await ask({ ":authority": "a", ":path": "//[" })).toBe(400);
  });

  it("what the protocol itself forbids ends the stream", async () => {
    for (const broken of [{ ":authority": "a b" }, { ":authority": "a/b" }, { ":authority": "a", ":path": "*" }])
      expect(await ask(broken)).toBe("ERR_HTTP2_STREAM_ERROR");
  });

  it("a client of Node.js on an IPv6 address is served, whether it writes the brackets or not", async () => {
    const six = await serve("::1");
    const address = `http://[::1]:${six.port}`;
    const own = createClientTransport({ address, token: "" });
    try {
      expect((await createClient(Health, own.transport).check({})).status).toBe(1);
      expect((await createClient(Health, createGrpcTransport({ baseUrl: address })).check({})).status).toBe(1);
    } finally {
      own.close();
      await six.close();
    }
  });
});

it("a fallback that rejects ends its own answer alone, and is told", async () => {
  expect(await say("GET /rejects HTTP/1.1\r\nHost: a\r\n\r\n")).toBe("");
  expect(defects.map(String)).toEqual(["Error: a defect of the fallback"]);
  expect(await post("Host: a\r\n")).toBe("HTTP/1.1 200 OK");
});
