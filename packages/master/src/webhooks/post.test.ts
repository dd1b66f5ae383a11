import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createAddressRules } from "./address-rules.ts";
import { createPoster } from "./post.ts";

const never = new AbortController().signal;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Listens on loopback, which these rules allow by its address and not by its name. */
async function listen(onConnection: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    onConnection(socket);
  });
  closing.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

function serve(handler: http.RequestListener): Promise<number> {
  const server = http.createServer(handler);
  return listen((socket) => void server.emit("connection", socket));
}

const post = async (url: string, patienceMs = 2_000) => {
  const poster = createPoster(createAddressRules(new Set(["127.0.0.1"])), patienceMs);
  closing.push(poster.close);
  return poster.post(url, "{}", {}, never);
};

describe("a request to a receiver", () => {
  it("is delivered by any success, and is final only when the receiver is gone", async () => {
    const port = await serve((request, response) => void response.writeHead(Number(request.url?.slice(1))).end("x"));
    const of = (status: number) => post(`http://127.0.0.1:${port}/${status}`);
    expect(await of(200)).toEqual({ kind: "delivered", status: 200 });
    expect(await of(204)).toEqual({ kind: "delivered", status: 204 });
    expect(await of(500)).toMatchObject({ kind: "failed", status: 500, isFinal: false });
    expect(await of(302)).toMatchObject({ kind: "failed", status: 302, isFinal: false });
    expect(await of(410)).toMatchObject({ kind: "failed", status: 410, isFinal: true });
  });

  it("follows redirects that keep what it is, and not for ever", async () => {
    const seen: string[] = [];
    const port = await serve((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      const location = request.url === "/start" ? "/end" : "/round";
      response.writeHead(request.url === "/end" ? 200 : 308, { location }).end();
    });
    expect(await post(`http://127.0.0.1:${port}/start`)).toEqual({ kind: "delivered", status: 200 });
    expect(seen).toEqual(["POST /start", "POST /end"]);
    expect(await post(`http://127.0.0.1:${port}/round`)).toMatchObject({ message: expect.stringContaining("more than 3 times") });
  });

  it.each([
    ["by address", (port: number) => `http://127.0.0.2:${port}/`, "only for hosts that the master's settings allow"],
    ["by address, with TLS", (port: number) => `https://[::ffff:127.0.0.1]:${port}/`, "not on the internet"],
    ["by a name", (port: number) => `https://localhost:${port}/`, "not on the internet"],
  ])("is not redirected to a forbidden place %s: nothing is opened there", async (_how, target, why) => {
    let opened = 0;
    const forbidden = await listen((socket) => {
      opened += 1;
      socket.destroy();
    });
    const port = await serve((_request, response) => void response.writeHead(307, { location: target(forbidden) }).end());
    expect(await post(`http://127.0.0.1:${port}/`)).toMatchObject({ kind: "failed", message: expect.stringContaining(why) });
    expect(opened).toBe(0);
  });

  it("ends when nothing answers, when headers have no end, and does not wait for a body that has none", async () => {
    const silent = await listen(() => undefined);
    expect(await post(`http://127.0.0.1:${silent}/`, 200)).toMatchObject({ message: "it did not answer within 0.2 s" });

    const headers = await listen((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = setInterval(() => socket.write(`x-more: ${"x".repeat(4_000)}\r\n`), 1);
      socket.once("close", () => clearInterval(more));
    });
    expect(await post(`http://127.0.0.1:${headers}/`)).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(/header/i),
    });

    let wasCut = false;
    const body = await serve((_request, response) => {
      response.writeHead(200).on("close", () => (wasCut = true));
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(10_000)));
      };
      response.on("drain", more);
      more();
    });
    expect(await post(`http://127.0.0.1:${body}/`)).toEqual({ kind: "delivered", status: 200 });
    await expect.poll(() => wasCut).toBe(true);
  });

  it("says what kept it from being sent", async () => {
    const port = await listen((socket) => void socket.destroy());
    expect(await post(`http://127.0.0.1:${port}/`)).toMatchObject({ kind: "failed", status: 0, message: "socket hang up" });
    expect(await post("http://127.0.0.1:1/")).toMatchObject({ message: expect.stringContaining("ECONNREFUSED") });
    expect(await post("https://nothing.invalid/")).toMatchObject({ kind: "failed", status: 0 });
  });
});
