import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { createConnections } from "./connections.ts";
import { createHttpServers } from "./http-servers.ts";
import { defaultLimits } from "./limits.ts";
import { callsInOneTurn } from "./reading-turns.ts";

const clients = 60;
const calls = 50;

interface Served {
  readonly sockets: readonly net.Socket[];
  /** How many calls began in each turn of the loop in which any did. */
  readonly turns: readonly number[];
  /** In which of them those that came to the plaintext port began. */
  readonly ofPlaintext: readonly number[];
}

interface Come {
  /** As somebody who is known. */
  readonly isProven?: boolean;
  /** The last of them comes to the plaintext port. */
  readonly lastIsLocal?: boolean;
}

/** A server with connections that are open and have said nothing yet. */
async function serve(protocol: "http/1.1" | "h2", { isProven = false, lastIsLocal = false }: Come): Promise<Served> {
  const turns: number[] = [];
  const ofPlaintext: number[] = [];
  let accepted = 0;
  let inTurn = 0;
  const noteCall = () => {
    if (inTurn === 0)
      setImmediate(() => {
        turns.push(inTurn);
        inTurn = 0;
      });
    inTurn += 1;
  };
  const connections = createConnections({ ...defaultLimits, strangersPerAddress: clients }, () => undefined);
  const servers = createHttpServers({
    adapter: (_, response) => void response.end(),
    limits: defaultLimits,
    onDefect: (error) => expect.unreachable(String(error)),
    onPressure: () => undefined,
    needsProof: () => false,
  });
  const server = net.createServer((socket) => {
    accepted += 1;
    const connection = connections.admit(socket, lastIsLocal && accepted === clients ? "plaintext" : "tls");
    if (connection === undefined) return;
    if (isProven) connection.prove("somebody", clients);
    const begin = () => {
      noteCall();
      if (connection.port === "plaintext") ofPlaintext.push(turns.length);
      return connection.begin();
    };
    servers.serve(socket, protocol, { ...connection, begin });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets: net.Socket[] = [];
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    connections.close();
    server.close();
    await once(server, "close");
  });
  const { port } = server.address() as net.AddressInfo;
  for (let at = 0; at < clients; at += 1) {
    const socket = net.connect(port, "127.0.0.1").on("error", () => undefined);
    await once(socket, "connect");
    sockets.push(socket);
  }
  return { sockets, turns, ofPlaintext };
}

/** All of them at once, each its calls at once. */
function callAtOnce(protocol: "http/1.1" | "h2", sockets: readonly net.Socket[]): void {
  for (const socket of sockets) {
    if (protocol === "http/1.1") {
      socket.resume().write("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".repeat(calls));
      continue;
    }
    const session = http2.connect("http://a", { createConnection: () => socket }).on("error", () => undefined);
    for (let call = 0; call < calls; call += 1)
      session
        .request({ ":path": "/nothing" })
        .on("error", () => undefined)
        .resume();
  }
}

async function untilQuiet(turns: readonly number[]): Promise<void> {
  for (let seen = -1; seen !== turns.length; await delay(200)) seen = turns.length;
}

describe.each(["http/1.1", "h2"] as const)("over %s, of many connections that call at the same moment", (protocol) => {
  it("few are read in one turn of the loop, and each has its turn", async () => {
    const { sockets, turns } = await serve(protocol, {});
    callAtOnce(protocol, sockets);
    await untilQuiet(turns);
    expect(Math.max(...turns)).toBeLessThan(callsInOneTurn.ofStrangers + calls);
    expect(turns.length).toBeGreaterThanOrEqual(clients * 0.9);
  });

  it("of somebody who is known a few more are read, and every call is served", async () => {
    const { sockets, turns } = await serve(protocol, { isProven: true });
    callAtOnce(protocol, sockets);
    await untilQuiet(turns);
    expect(Math.max(...turns)).toBeLessThan(callsInOneTurn.ofOthers + calls);
    expect(turns.reduce((sum, each) => sum + each, 0)).toBe(clients * calls);
  });

  it("whoever comes to the plaintext port waits for none of the strangers of the other one", async () => {
    const { sockets, turns, ofPlaintext } = await serve(protocol, { lastIsLocal: true });
    callAtOnce(protocol, sockets);
    await untilQuiet(turns);
    expect(turns.length).toBeGreaterThanOrEqual(clients * 0.8);
    expect(Math.min(...ofPlaintext)).toBeLessThan(clients / 4);
  });
});
