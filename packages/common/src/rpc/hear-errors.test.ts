import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { Http2SessionManager } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { hearErrors } from "./hear-errors.ts";

it("lets a session that was given up end in peace when its manager lets go of it", async () => {
  const server = http2.createServer((_, response) => response.writeHead(200).write("and then no word any more"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const sockets = new Set<net.Socket>();
  const line = net.createServer((near) => {
    const far = net.connect({ host: "127.0.0.1", port: portOf(server) });
    for (const socket of [near, far]) sockets.add(socket.on("error", () => undefined));
    near.pipe(far).pipe(near);
  });
  await once(line.listen(0, "127.0.0.1"), "listening");
  const manager = new Http2SessionManager(`http://127.0.0.1:${portOf(line)}`, { pingIntervalMs: 20, pingTimeoutMs: 20 });
  try {
    const stream = await hearErrors(manager).request("GET", "/", {}, {});
    const { session } = stream;
    stream.end().resume();
    await once(stream, "data");
    // From here on nothing passes; the next ping stays without answer.
    for (const socket of sockets) socket.unpipe().pause();
    const error = once(stream, "error");
    const closed = new Promise((resolve) => session?.once("close", resolve));
    await error;
    manager.abort();
    await closed;
    expect(session?.destroyed).toBe(true);
  } finally {
    for (const socket of sockets) socket.destroy();
    line.close();
    server.close();
  }
});

function portOf(server: net.Server | http2.Http2Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen");
  return address.port;
}
