import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { Code, ConnectError, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

export interface RpcServerOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  /** Plain HTTP beside the RPCs: health, metrics. */
  readonly fallback: http.RequestListener;
  readonly maxRequestBytes?: number;
  /** How long calls may finish after close() began. */
  readonly graceMs?: number;
}

export interface RpcServer {
  readonly port: number;
  /** Stops accepting, lets calls finish for the grace period, then ends them with Unavailable. */
  close(): Promise<void>;
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const firstBytesMs = 10_000;
const pingEveryMs = 20_000;

/** One plaintext port on loopback for gRPC (HTTP/2 prior knowledge), gRPC-Web, Connect and JSON by curl. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  if (!isLoopback(options.host))
    throw new Error(`refusing to listen on ${options.host} without TLS; use a loopback address such as 127.0.0.1`);
  const stopping = new AbortController();
  const handler = connectNodeAdapter({
    routes: options.routes,
    interceptors: options.interceptors,
    readMaxBytes: options.maxRequestBytes ?? 1 << 20,
    maxTimeoutMs: 24 * 3_600_000,
    shutdownSignal: stopping.signal,
    fallback: (request, response) => options.fallback(request as http.IncomingMessage, response as http.ServerResponse),
  });
  const h1 = http.createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, handler);
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
    session.once("close", () => {
      clearInterval(timer);
      sessions.delete(session);
    });
  });
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    dispatch(socket, h1, h2);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(options.port, options.host, resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      h1.closeIdleConnections();
      for (const session of sessions) session.close();
      const grace = setTimeout(
        () => stopping.abort(new ConnectError("the master is shutting down", Code.Unavailable)),
        options.graceMs ?? 2_000,
      );
      const last = setTimeout(
        () => {
          for (const socket of sockets) socket.destroy();
        },
        (options.graceMs ?? 2_000) + 1_000,
      );
      if (sessions.size === 0) h1.closeAllConnections();
      await closed;
      clearTimeout(grace);
      clearTimeout(last);
    },
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}

/** HTTP/2 with prior knowledge begins with a fixed text; everything else is HTTP/1.1. */
function dispatch(socket: net.Socket, h1: http.Server, h2: http2.Http2Server): void {
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), firstBytesMs);
  socket.on("error", () => socket.destroy()).once("close", () => clearTimeout(timer));
  socket.on("readable", function onReadable() {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      seen = Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, preface.length);
      const same = seen.subarray(0, length).equals(preface.subarray(0, length));
      if (same && length < preface.length) continue;
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.unshift(seen);
      (same ? h2 : h1).emit("connection", socket);
      return;
    }
  });
}
