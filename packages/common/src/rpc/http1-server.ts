import http from "node:http";
import type net from "node:net";
import type { NodeHandler } from "./node-calls.ts";

const timeouts = { requestTimeout: 30_000, headersTimeout: 10_000, connectionsCheckingInterval: 2_000 };
const noTunnel = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

export interface Http1Server {
  serve(socket: net.Socket): void;
  /** Ends each connection as soon as no call runs on it. */
  drain(): void;
}

export interface Http1Options {
  /** How long a body may take. */
  readonly bodyMs: number;
  /** How many calls may run on a connection at once. */
  readonly callsOn: (socket: net.Socket) => number;
  readonly onTooMany: (socket: net.Socket) => void;
}

export function createHttp1(handler: NodeHandler, { bodyMs, callsOn, onTooMany }: Http1Options): Http1Server {
  const requestTimeout = Math.max(timeouts.requestTimeout, bodyMs);
  let draining = false;
  /** The calls that run on each connection. */
  const running = new Map<net.Socket, Set<http.ServerResponse>>();
  const endWhenIdle = (socket: net.Socket) => {
    if (draining && (running.get(socket)?.size ?? 0) === 0) socket.destroySoon();
  };
  const server = http.createServer({ ...timeouts, requestTimeout }, (request, response) => {
    const { socket } = request;
    const calls = running.get(socket);
    // Of one that was cut Node.js goes on with the bytes that came already, and a TLS socket must not be destroyed meanwhile:
    // that takes the parser away from under it, which would end the process.
    if (calls === undefined || socket.destroyed) return;
    if (calls.size >= callsOn(socket)) {
      running.delete(socket);
      return onTooMany(socket);
    }
    calls.add(response);
    response.once("close", () => {
      calls.delete(response);
      endWhenIdle(socket);
    });
    handler(request, response);
  });
  server.on("connection", (socket) => {
    const calls = new Set<http.ServerResponse>();
    running.set(socket, calls);
    socket.once("close", () => {
      running.delete(socket);
      // Node.js says so of the one whose turn it was; those behind it would never end.
      process.nextTick(() => {
        for (const response of calls) endUnheard(response);
      });
    });
  });
  server.on("connect", (_request, socket: net.Socket) => {
    socket.write(noTunnel);
    socket.destroySoon();
  });
  // It never listens itself, and only this makes it watch the limits of its connections.
  server.emit("listening");
  return {
    serve: (socket) => void server.emit("connection", socket),
    drain() {
      draining = true;
      server.close();
      for (const socket of running.keys()) endWhenIdle(socket);
    },
  };
}

/**
 * The rest of what was read of a connection that is cut: hundreds of calls in one chunk would be made into objects, and then
 * into errors. Node.js does not document the parser; to it, 2 means that what follows is not HTTP. Without one, each of them is
 * made, and nobody is called for it.
 */
export function passOver(socket: net.Socket): void {
  const parser = Reflect.get(socket, "parser") as { onIncoming?: () => number } | null | undefined;
  if (parser?.onIncoming !== undefined) parser.onIncoming = () => 2;
}

function endUnheard(response: http.ServerResponse): void {
  if (response.closed) return;
  response.on("error", () => undefined).destroy();
  response.emit("close");
}
