import { once } from "node:events";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { createConnections } from "./connections.ts";
import { createHttpServers } from "./http-servers.ts";
import { defaultLimits, type Pressure } from "./limits.ts";

/** A server whose calls last until their connection is over, and one connection to it. */
async function serve() {
  const seen = { begun: 0, ended: 0, pressure: [] as Pressure[] };
  const connections = createConnections(defaultLimits, () => undefined);
  const servers = createHttpServers({
    adapter: () => undefined,
    limits: defaultLimits,
    onDefect: (error) => expect.unreachable(String(error)),
    onPressure: (what) => void seen.pressure.push(what),
    needsProof: () => false,
  });
  const server = net.createServer((socket) => {
    const connection = connections.admit(socket, "plaintext");
    if (connection === undefined) return;
    const begin = () => {
      seen.begun += 1;
      return () => {
        seen.ended += 1;
      };
    };
    servers.serve(socket, "http/1.1", { ...connection, begin });
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
  const call = (count: number) => client.resume().write("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count));
  return { seen, client, call };
}

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 200 && !holds(); attempt += 1) await delay(20);
}

describe("calls of HTTP/1.1 that come before the response to the last one", () => {
  it("all end with their connection, those too whose turn had not come", async () => {
    const { seen, client, call } = await serve();
    call(3);
    await until(() => seen.begun === 3);
    client.destroy();
    await until(() => seen.ended === 3);
    expect(seen).toEqual({ begun: 3, ended: 3, pressure: [] });
  });

  it("are begun as far as a caller may have some at once; one that goes on is cut", async () => {
    const { seen, client, call } = await serve();
    call(600);
    await once(client, "close");
    await until(() => seen.ended === seen.begun);
    expect(seen).toEqual({ begun: 16, ended: 16, pressure: ["calls of strangers"] });
  });
});
