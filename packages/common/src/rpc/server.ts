import { setMaxListeners } from "node:events";
import type http from "node:http";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AppError } from "../errors/app-error.ts";
import { completeErrors } from "./complete-errors.ts";
import { type Connection, kConnection, kTooOften } from "./connection.ts";
import { type ConnectionCounts, createConnections } from "./connections.ts";
import { toConnectError } from "./errors.ts";
import { type CallGuard, guardCalls } from "./guard-calls.ts";
import { createHttpServers } from "./http-servers.ts";
import { admitMessages } from "./json/strict-json.ts";
import { takeDecoded } from "./large/decoded.ts";
import { createLeisure } from "./leisure.ts";
import { connectionsWithin, defaultLimits, descriptorLimit, type OnPressure, type RpcLimits } from "./limits.ts";
import type { Listener } from "./listener.ts";
import { type NodeRequest, type NodeResponse, sendText } from "./node-calls.ts";
import { retryAfterMs } from "./overloaded.ts";
import { createPace, type PaceOptions } from "./pace.ts";
import { createPeerContext, type Peer } from "./peer.ts";
import { createPendingBytes } from "./pending-bytes.ts";
import { listenPlaintext } from "./plaintext-listener.ts";
import { createStrangers } from "./strangers.ts";
import { listenTls, type TlsOptions } from "./tls-listener.ts";
import { cutUnread, kCut } from "./unread-responses.ts";

/** Who makes a plain request; what he proves, or fails to prove, counts for his connection as in calls. */
export type PlainCaller = Pick<Connection, "prove" | "wasRefused">;

/** Who may call; without it everybody is as good as proved. */
export type Admission = Pick<CallGuard, "kindOf" | "admit">;

export interface RpcServerOptions {
  /** What stops when this server does, for callers whose calls that ends. */
  readonly program?: "master" | "agent";
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  /** Plain HTTP beside the RPCs: health, metrics. */
  readonly fallback: (request: http.IncomingMessage, response: http.ServerResponse, caller: PlainCaller) => unknown;
  /** Paths beside the RPCs that look at a credential. */
  readonly provenPaths?: readonly string[];
  readonly maxRequestBytes?: number;
  /** How many values a request of a method may hold, when it is not the usual number. */
  readonly maxValues?: (method: string) => number | undefined;
  /** Hears of what no caller may hear: a defect outside of any call. */
  readonly onDefect?: (error: unknown) => void;
  readonly admission?: Admission;
  readonly limits?: RpcLimits;
  /** Hears each time that something is refused or cut because there is too much of it. */
  readonly onPressure?: OnPressure;
  /** Addresses of those who came to the TLS port before, and are let in before strangers. */
  readonly expected?: readonly string[];
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
  readonly load: () => ServerLoad;
  /** Stops accepting, lets calls finish for the grace period, then ends them with SHUTTING_DOWN. */
  close(): Promise<void>;
}

/** What callers take at this moment. */
export interface ServerLoad {
  readonly connections: ConnectionCounts;
  /** Of bodies that are being read or worked on. */
  readonly pendingBytes: number;
  /** Of responses that their callers did not read yet. */
  readonly unreadBytes: number;
}

/**
 * A thousand workers behind one address are back within seconds; a flood of connections takes a part of one core, from wherever
 * it comes.
 */
const handshakes: PaceOptions = {
  burst: 200,
  perSecond: 150,
  order: "by lot",
  total: { burst: 400, perSecond: 300 },
  inOneTurn: 1,
};
/** Whoever had to be cut comes back as slowly as if he had come so often; a worker may have the same address. */
const expelled = { strange: 100, expected: 20 };
/** After its body a plain request is answered, and its answer read, within this. */
const patienceMs = 30_000;
/** Of the plaintext port, where operators come from the same address as everybody, there is only so much in one turn. */
const opened: PaceOptions = { burst: Number.POSITIVE_INFINITY, perSecond: 0, order: "oldest first" };
/** Probes and other requests on it that show no credential; what was read of one already may hold hundreds. */
const bare: PaceOptions = { burst: 100, perSecond: 100, order: "newest first", inOneTurn: 1 };
/** While the loop is busy strangers have a part of these rates; also those of them who share their address with a worker. */
const mostCost = { strange: 5, expected: 2 };

const everybody: Admission = {
  kindOf: () => "proved",
  admit: async ({ connection }) => {
    connection.prove("anybody", Number.MAX_SAFE_INTEGER);
    return "caller";
  },
};

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
  const { limits = defaultLimits, onPressure = () => undefined, admission = everybody } = options;
  const leisure = createLeisure();
  const cost = (isExpected: boolean) => leisure.cost(isExpected ? mostCost.expected : mostCost.strange);
  const shaking = createPace({ ...handshakes, isExpected: (source) => connections.isExpected(source), cost });
  const connections = createConnections(
    { ...limits, connections: connectionsWithin(limits.connections, descriptorLimit()) },
    onPressure,
    { onExpelled: (source, kind) => shaking.charge(source, expelled[kind]), expected: options.expected ?? [], cost },
  );
  const strangers = createStrangers(onPressure);
  const pending = createPendingBytes(limits.pendingBytes, () => onPressure("bytes under way"));
  const unread = createPendingBytes(
    limits.pendingBytes,
    () => onPressure("responses that are not read"),
    "too many bytes of responses wait to be read; what a call did is done",
  );
  const contextOf = createPeerContext(options.tls?.caPem);
  const plain = (request: NodeRequest, response: NodeResponse) => {
    if (servers.isTooOften(request))
      return sendText(response, 429, "too many calls without a token", { "retry-after": `${retryAfterMs / 1_000}` });
    const connection = servers.connectionOf(request);
    if (connection === undefined) return void response.destroy();
    // A token that nobody has looked at yet makes nobody known: looking at it takes a stranger's place.
    const isStranger = request.headers.authorization !== undefined && !connection.isProven();
    const leave = isStranger ? strangers.enter("call", connection) : () => undefined;
    if (leave instanceof AppError)
      return sendText(response, 429, "too many calls without a token", { "retry-after": `${retryAfterMs / 1_000}` });
    const late = setTimeout(() => cutUnread(request), limits.bodyMs + patienceMs).unref();
    response.once("close", () => clearTimeout(late)).once("close", leave);
    const fail = (error: unknown) => {
      onDefect(error);
      response.destroy();
    };
    const answered = options.fallback(request as http.IncomingMessage, response as http.ServerResponse, connection);
    if (answered instanceof Promise) answered.catch(fail);
  };
  const calls = new Map<string, string>();
  const adapter = connectNodeAdapter({
    routes: (router) => {
      options.routes(router);
      for (const { requestPath, service, method } of router.handlers)
        calls.set(requestPath, `${service.typeName}/${method.name}`);
      admitMessages(router, { maxBytes: readMaxBytes, maxValues: options.maxValues });
      completeErrors(router);
      guardCalls(router, readMaxBytes, { ...admission, strangers, pending, unread, unreadMs: limits.bodyMs });
    },
    interceptors: [takeDecoded, ...options.interceptors],
    readMaxBytes,
    // What the check above should miss.
    jsonOptions: { ignoreUnknownFields: false },
    // Packing a small message costs more than it saves, and most are small.
    compressMinBytes: 64 << 10,
    maxTimeoutMs: 24 * 3_600_000,
    shutdownSignal: stopping.signal,
    contextValues(request) {
      const connection = servers.connectionOf(request);
      const values = contextOf(request)
        .set(kTooOften, servers.isTooOften(request))
        .set(kCut, () => cutUnread(request));
      return connection === undefined ? values : values.set(kConnection, connection);
    },
    fallback: plain,
  });
  const needsProof = (path: string) => {
    const method = calls.get(path);
    return method === undefined ? options.provenPaths?.includes(path) === true : admission.kindOf(method) === "proved";
  };
  const servers = createHttpServers({ adapter, limits, onDefect, onPressure, needsProof });
  const plaintext = await listenPlaintext(options, servers, connections, {
    opening: createPace(opened),
    bare: createPace({ ...bare, cost }),
  });
  const secure =
    options.tls === undefined ? undefined : await listenTls(options.tls, servers, connections, shaking).catch(closing(plaintext));
  const listeners = secure === undefined ? [plaintext] : [plaintext, secure];
  return {
    port: plaintext.port,
    tlsPort: secure?.port,
    renewTls(renewed) {
      if (secure === undefined) throw new Error("this server has no TLS port");
      secure.renew(renewed);
    },
    disconnect: (matches) => secure?.disconnect(matches) ?? 0,
    load: () => ({ connections: connections.counts(), pendingBytes: pending.total(), unreadBytes: unread.total() }),
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
      connections.close();
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
