import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { createConnections } from "./connections.ts";
import { createHttpServers } from "./http-servers.ts";
import { defaultLimits, type Pressure } from "./limits.ts";
import type { NodeHandler } from "./node-calls.ts";

const keepsWaiting: NodeHandler = () => undefined;
const responds: NodeHandler = (_, response) => void response.end();

/** A server whose callers have proved nothing, unless it is said, and one connection to it. */
async function serve(protocol: "http/1.1" | "h2", adapter: NodeHandler, isProven = false, limits = defaultLimits) {
  const seen = { begun: 0, ended: 0, expelled: 0, pressure: new Set<Pressure>() };
  const connections = createConnections(defaultLimits, () => undefined, { onExpelled: () => (seen.expelled += 1) });
  const servers = createHttpServers({
    adapter,
    limits,
    onDefect: (error) => expect.unreachable(String(error)),
    onPressure: (what) => seen.pressure.add(what),
    needsProof: () => false,
  });
  const server = net.createServer((socket) => {
    const connection = connections.admit(socket, "tls");
    if (connection === undefined) return;
    if (isProven) connection.prove("somebody", 1);
    const begin = () => {
      seen.begun += 1;
      return () => {
        seen.ended += 1;
      };
    };
    servers.serve(socket, protocol, { ...connection, begin });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1").on("error", () => undefined);
  onTestFinished(async () => {
    client.destroy();
    connections.close();
    server.close();
    await once(server, "close");
  });
  await once(client, "connect");
  return { seen, client };
}

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 200 && !holds(); attempt += 1) await delay(20);
}

describe("a call of HTTP/1.1 whose body does not arrive in time", () => {
  const begin = "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{";
  const hear = async (client: net.Socket) => {
    let heard = "";
    client.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    await once(client, "close");
    return heard;
  };

  it.each([true, false])("is told so, and whoever handles it meanwhile responds to nobody (proven: %s)", async (isProven) => {
    let trouble: unknown = "nobody responded";
    const respondsToo: NodeHandler = (_, response) => {
      response.once("finish", () => {
        try {
          response.writeHead(401, { "content-type": "text/html" });
          response.write("too soon");
          response.end("too late");
          trouble = undefined;
        } catch (error) {
          trouble = error;
        }
      });
    };
    const { client, seen } = await serve("http/1.1", respondsToo, isProven, { ...defaultLimits, bodyMs: 50 });
    client.write(begin);
    const heard = await hear(client);
    expect(trouble).toBeUndefined();
    expect(heard).toMatch(/^HTTP\/1.1 408 .*the body did not arrive in time/s);
    expect(heard).not.toMatch(/401|too (soon|late)/);
    expect(seen.pressure).toContain("a body that is late");
  });
});

describe("calls of HTTP/1.1 that come before the response to the last one", () => {
  const call = (client: net.Socket, count: number) =>
    client.resume().write("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count));

  it("all end with their connection, those too whose turn had not come", async () => {
    const { seen, client } = await serve("http/1.1", keepsWaiting);
    call(client, 3);
    await until(() => seen.begun === 3);
    client.destroy();
    await until(() => seen.ended === 3);
    expect(seen).toMatchObject({ begun: 3, ended: 3, pressure: new Set() });
  });

  it("are begun as far as a caller may have some at once; one that goes on is cut", async () => {
    const { seen, client } = await serve("http/1.1", keepsWaiting);
    call(client, 600);
    await once(client, "close");
    await until(() => seen.ended === seen.begun);
    expect(seen).toEqual({ begun: 16, ended: 16, expelled: 1, pressure: new Set(["calls of strangers"]) });
  });

  it("of somebody who is known, are begun as far as he may have some at once", async () => {
    const { seen, client } = await serve("http/1.1", keepsWaiting, true);
    call(client, 600);
    await once(client, "close");
    await until(() => seen.ended === seen.begun);
    expect(seen).toEqual({ begun: 250, ended: 250, expelled: 1, pressure: new Set(["calls of one connection"]) });
  });

  it("are not even made of what was read with them, once it is too much", async () => {
    let made = 0;
    const note = () => (made += 1);
    subscribe("http.server.request.start", note);
    onTestFinished(() => void unsubscribe("http.server.request.start", note));
    const { client } = await serve("http/1.1", keepsWaiting);
    call(client, 600);
    await once(client, "close");
    expect(made).toBe(17);
  });
});

describe("calls of HTTP/2 without a credential on one connection", () => {
  /** How many had a response, and how many were refused; the others were cut. */
  const call = (client: net.Socket, count: number) => {
    const session = http2.connect("http://a", { createConnection: () => client }).on("error", () => undefined);
    const results = { served: 0, refused: 0 };
    const one = async () => {
      const stream = session.request({ ":path": "/nothing" }).on("error", () => undefined);
      stream.once("response", () => (results.served += 1)).resume();
      await new Promise((resolve) => stream.once("close", resolve));
      if (stream.rstCode === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM) results.refused += 1;
    };
    return { results, isOver: Promise.all(Array.from({ length: count }, one)) };
  };

  it("are served, sixteen at once", async () => {
    const { seen, client } = await serve("h2", responds);
    const { results, isOver } = call(client, 16);
    await isOver;
    expect(results).toEqual({ served: 16, refused: 0 });
    expect(seen).toMatchObject({ expelled: 0, pressure: new Set() });
  });

  it("are refused while sixteen wait for their responses", async () => {
    const { seen, client } = await serve("h2", keepsWaiting);
    const { results, isOver } = call(client, 30);
    // Sixteen wait, and five more: those are refused with reasons, by whoever handles them. Here nobody responds.
    await until(() => results.refused === 9);
    expect(results).toEqual({ served: 0, refused: 9 });
    expect(seen).toMatchObject({ begun: 30, ended: 9, expelled: 0, pressure: new Set(["calls of strangers"]) });
    client.destroy();
    await isOver;
  });

  it("have an end: who goes on and on is cut, once", async () => {
    const { seen, client } = await serve("h2", keepsWaiting);
    const { results, isOver } = call(client, 90);
    await isOver;
    expect(results).toMatchObject({ served: 0 });
    expect(seen).toMatchObject({ begun: 37, expelled: 1, pressure: new Set(["calls of strangers"]) });
  });
});

describe("a connection whose HTTP/2 cannot go on", () => {
  const frame = (type: number, stream: number, payload: Buffer) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(type === 1 ? 4 : 0, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const greeting = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, Buffer.alloc(0))]);
  /** POST, http, "/" and an authority. */
  const headers = Buffer.from([0x83, 0x86, 0x84, 0x41, 1, 0x61]);
  const goAway = (code: number) => frame(7, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, code]));

  it.each([
    [
      "who opens more streams than he was granted, again and again",
      1,
      Array.from({ length: 300 }, (_, at) => frame(1, 2 * at + 1, headers)),
    ],
    ["who ends it for a reason of his own", 0, [goAway(http2.constants.NGHTTP2_CANCEL)]],
    ["who leaves", 0, [goAway(http2.constants.NGHTTP2_NO_ERROR)]],
  ])("counts as one that had to be cut, or not: of a stranger %s", async (_, expelled, frames) => {
    const { seen, client } = await serve("h2", keepsWaiting);
    client.resume().write(Buffer.concat([greeting, ...frames]));
    await once(client, "close");
    expect(seen.expelled).toBe(expelled);
  });
});
