import http from "node:http";
import http2 from "node:http2";
import type net from "node:net";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { admitRequests } from "./admit-requests.ts";

/** HTTP/1.1 and HTTP/2 over connections that somebody else accepts. */
export interface HttpServers {
  serve(socket: net.Socket, protocol: "http/1.1" | "h2"): void;
  /** Ends each connection as soon as no call runs on it. */
  drain(): void;
}

const pingEveryMs = 20_000;
const limits = { requestTimeout: 30_000, headersTimeout: 10_000, connectionsCheckingInterval: 2_000 };
const noTunnel = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

export function createHttpServers(
  adapter: ReturnType<typeof connectNodeAdapter>,
  onDefect: (error: unknown) => void,
): HttpServers {
  const handler = admitRequests(adapter, onDefect);
  let draining = false;
  /** How many calls run on each HTTP/1.1 connection. */
  const running = new Map<net.Socket, number>();
  const count = (socket: net.Socket, change: number) => {
    const calls = (running.get(socket) ?? 0) + change;
    if (running.has(socket)) running.set(socket, calls);
    if (draining && calls === 0) socket.destroySoon();
  };
  const h1 = http.createServer(limits, (request, response) => {
    const { socket } = request;
    count(socket, 1);
    response.once("close", () => count(socket, -1));
    handler(request, response);
  });
  h1.on("connection", (socket) => {
    running.set(socket, 0);
    socket.once("close", () => running.delete(socket));
  });
  h1.on("connect", (_request, socket: net.Socket) => {
    socket.write(noTunnel);
    socket.destroySoon();
  });
  // It never listens itself, and only this makes it watch the limits of its connections.
  h1.emit("listening");
  const h2 = http2.createServer({ maxSessionMemory: 32 }, handler);
  const sessions = new Set<http2.ServerHttp2Session>();
  h2.on("session", (session) => {
    sessions.add(session);
    let answered = true;
    const timer = setInterval(() => {
      if (!answered) return session.destroy();
      answered = false;
      if (!session.closed && !session.destroyed) session.ping(() => (answered = true));
    }, pingEveryMs);
    session.on("error", () => session.destroy());
    if (draining) session.close();
    session.once("close", () => {
      clearInterval(timer);
      sessions.delete(session);
    });
  });
  return {
    serve(socket, protocol) {
      socket.on("error", () => socket.destroy());
      // A connection that is just ending has no handle to be served on.
      if (socket.destroyed) return;
      (protocol === "h2" ? h2 : h1).emit("connection", socket);
    },
    drain() {
      draining = true;
      h1.close();
      for (const socket of running.keys()) count(socket, 0);
      for (const session of sessions) session.close();
    },
  };
}
