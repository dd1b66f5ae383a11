import { setMaxListeners } from "node:events";
import type http from "node:http";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AppError } from "../errors/app-error.ts";
import { completeErrors } from "./complete-errors.ts";
import { toConnectError } from "./errors.ts";
import { createHttpServers } from "./http-servers.ts";
import { admitMessages } from "./json/strict-json.ts";
import { takeDecoded } from "./large/decoded.ts";
import type { Listener } from "./listener.ts";
import { createPeerContext, type Peer } from "./peer.ts";
import { listenPlaintext } from "./plaintext-listener.ts";
import { listenTls, type TlsOptions } from "./tls-listener.ts";

export interface RpcServerOptions {
  /** What stops when this server does, for callers whose calls that ends. */
  readonly program?: "master" | "agent";
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  /** Plain HTTP beside the RPCs: health, metrics. */
  readonly fallback: (request: http.IncomingMessage, response: http.ServerResponse) => unknown;
  readonly maxRequestBytes?: number;
  /** How many values a request of a method may hold, when it is not the usual number. */
  readonly maxValues?: (method: string) => number | undefined;
  /** Hears of what no caller may hear: a defect outside of any call. */
  readonly onDefect?: (error: unknown) => void;
  /** How long calls may finish after close() began. */
  readonly graceMs?: number;
  /** A second port, with TLS, on any address. */
  readonly tls?: TlsOptions;
}

export interface RpcServer {
  readonly port: number;
  readonly tlsPort: number | undefined;
  /** What new TLS handshakes present from now on. Throws, and changes nothing, when the two do not fit. */
  renewTls(options: { keyPem: string; certPem: string }): void;
  /** Cuts the TLS connections whose peer matches, at once, also those that were handed over. Says how many. */
  disconnect(matches: (peer: Peer) => boolean): number;
  /** Stops accepting, lets calls finish for the grace period, then ends them with SHUTTING_DOWN. */
  close(): Promise<void>;
}

/**
 * One plaintext port on loopback for gRPC (HTTP/2 prior knowledge), gRPC-Web, Connect and JSON by curl, and the same over TLS on
 * another port. Calls know by kPeer from where they came.
 */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const stopping = new AbortController();
  // Every call that runs listens to it: many are no leak.
  setMaxListeners(0, stopping.signal);
  const onDefect = options.onDefect ?? (() => undefined);
  const readMaxBytes = options.maxRequestBytes ?? 1 << 20;
  const servers = createHttpServers(
    connectNodeAdapter({
      routes: (router) => {
        options.routes(router);
        admitMessages(router, { maxBytes: readMaxBytes, maxValues: options.maxValues });
        completeErrors(router);
      },
      interceptors: [takeDecoded, ...options.interceptors],
      readMaxBytes,
      // What the check above should miss.
      jsonOptions: { ignoreUnknownFields: false },
      // Packing a small message costs more than it saves, and most are small.
      compressMinBytes: 64 << 10,
      maxTimeoutMs: 24 * 3_600_000,
      shutdownSignal: stopping.signal,
      contextValues: createPeerContext(options.tls?.caPem),
      fallback(request, response) {
        const fail = (error: unknown) => {
          onDefect(error);
          response.destroy();
        };
        const answered = options.fallback(request as http.IncomingMessage, response as http.ServerResponse);
        if (answered instanceof Promise) answered.catch(fail);
      },
    }),
    onDefect,
  );
  const plaintext = await listenPlaintext(options, servers);
  const secure = options.tls === undefined ? undefined : await listenTls(options.tls, servers).catch(closing(plaintext));
  const listeners = secure === undefined ? [plaintext] : [plaintext, secure];
  return {
    port: plaintext.port,
    tlsPort: secure?.port,
    renewTls(renewed) {
      if (secure === undefined) throw new Error("this server has no TLS port");
      secure.renew(renewed);
    },
    disconnect: (matches) => secure?.disconnect(matches) ?? 0,
    async close() {
      const graceMs = options.graceMs ?? 2_000;
      const closed = Promise.all(listeners.map((listener) => listener.close()));
      servers.drain();
      const over = toConnectError(new AppError("SHUTTING_DOWN", `the ${options.program ?? "server"} is shutting down`));
      const grace = setTimeout(() => stopping.abort(over), graceMs);
      const last = setTimeout(() => {
        for (const listener of listeners) listener.destroy();
      }, graceMs + 1_000);
      await closed;
      clearTimeout(grace);
      clearTimeout(last);
    },
  };
}

/** A server that cannot start leaves nothing behind. */
function closing(listener: Listener): (error: unknown) => Promise<never> {
  return async (error) => {
    await listener.close();
    throw error;
  };
}
