import http from "node:http";
import http2 from "node:http2";
import type net from "node:net";
import { admitRequests } from "./admit-requests.ts";
import type { Connection } from "./connections.ts";
import { createFirstCalls } from "./first-calls.ts";
import type { OnPressure, RpcLimits } from "./limits.ts";
import { type NodeHandler, type NodeRequest, type NodeResponse, sendText } from "./node-calls.ts";
import { retryAfterMs } from "./overloaded.ts";
import { createPace, type PaceOptions } from "./pace.ts";
import { createReadingTurns } from "./reading-turns.ts";
import { watchBody } from "./watch-body.ts";

/** HTTP/1.1 and HTTP/2 over connections that somebody else accepts. */
export interface HttpServers {
  serve(socket: net.Socket, protocol: "http/1.1" | "h2", connection: Connection): void;
  /** Undefined for one that is gone already. */
  connectionOf(request: NodeRequest): Connection | undefined;
  /** Strangers call too often: it is to be refused. */
  isTooOften(request: NodeRequest): boolean;
  /** Ends each connection as soon as no call runs on it. */
  drain(): void;
}

export interface HttpServersOptions {
  readonly adapter: NodeHandler;
  readonly limits: RpcLimits;
  readonly onDefect: (error: unknown) => void;
  readonly onPressure: OnPressure;
  /** Whether there is anything at a path for which a credential is looked at. */
  readonly needsProof: (path: string) => boolean;
}

const pingEveryMs = 20_000;
const timeouts = { requestTimeout: 30_000, headersTimeout: 10_000, connectionsCheckingInterval: 2_000 };
const noTunnel = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/** Clients of HTTP/2 take so many for granted before they were told: of fewer, honest ones would have calls refused. */
const streamsOfStranger = 100;
/** Of HTTP/1.1 a caller waits for one response before he asks again; Node.js begins all that he sends. */
const callsOfStranger = 16;
/** So many calls that came too often are refused with all that there is to say, the next in a word; then it is cut. */
const patience = { withReasons: 5, atAll: 20 };
/** Hundreds that come at once have a quarter of the time: the call of anybody else needs several turns. */
const strangersCalls: PaceOptions = {
  burst: Number.POSITIVE_INFINITY,
  perSecond: 0,
  order: "oldest first",
  inOneTurn: 1,
  rest: 3,
};
/** Headers of one request. */
const maxHeaderListSize = 16 << 10;

export function createHttpServers({ adapter, limits, onDefect, onPressure, needsProof }: HttpServersOptions): HttpServers {
  const connections = new WeakMap<object, Connection>();
  const connectionOf = (request: NodeRequest): Connection | undefined => {
    const owner = "stream" in request ? request.stream.session : request.socket;
    return owner === undefined ? undefined : connections.get(owner);
  };
  const admitted = admitRequests(adapter, onDefect);
  const turns = createReadingTurns();
  const handler: NodeHandler = (request, response) => {
    const connection = connectionOf(request);
    // Of a connection that was cut, calls may be left that came with the last bytes.
    if (connection === undefined) return void response.destroy();
    turns.note(connection);
    response.once("close", connection.begin());
    watchBody(request, response, limits.bodyMs, () => onPressure("a body that is late"));
    if (connection.isProven()) return admitted(request, response);
    if (request.headers.authorization !== undefined && needsProof(pathOf(request))) return guess(request, response, connection);
    if (connection.takesBareCall()) return admit(request, response, connection);
    const times = noteTooOften(connection);
    if (times > patience.withReasons) return refuse(request, response, connection, times);
    tooOften.add(request);
    admitted(request, response);
  };
  const noteTooOften = (connection: Connection): number => {
    onPressure("calls of strangers");
    const times = (timesTooOften.get(connection) ?? 0) + 1;
    timesTooOften.set(connection, times);
    return times;
  };
  const firstCalls = createFirstCalls();
  const guess = (request: NodeRequest, response: NodeResponse, connection: Connection) => {
    let isOver = false;
    response.once("close", () => (isOver = true));
    firstCalls.begin(connection, {
      isOver: () => isOver,
      onEnd: (listener) => void response.once("close", listener),
      // Why was said when the first of them was refused.
      begin: () =>
        connection.takesTry()
          ? admit(request, response, connection)
          : refuse(request, response, connection, noteTooOften(connection)),
    });
  };
  const calls = createPace(strangersCalls);
  const admit = (request: NodeRequest, response: NodeResponse, connection: Connection) => {
    if (connection.isProven()) return admitted(request, response);
    let isOver = false;
    for (const each of [request, response]) each.on("error", () => undefined);
    response.once("close", () => (isOver = true));
    calls.begin(connection.line, { isOver: () => isOver, begin: () => admitted(request, response) });
  };
  const tooOften = new WeakSet<NodeRequest>();
  const timesTooOften = new WeakMap<Connection, number>();
  const refuse = (request: NodeRequest, response: NodeResponse, connection: Connection, times: number) => {
    if (times > patience.atAll) return connection.expel();
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    if ("stream" in request) return request.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    return sendText(response, 429, "too many calls without a token", { "retry-after": `${retryAfterMs / 1_000}` });
  };
  const http1 = createHttp1(handler, {
    requestTimeout: Math.max(timeouts.requestTimeout, limits.bodyMs),
    callsOn: (socket) => (connections.get(socket)?.isProven() === true ? limits.streams : callsOfStranger),
    onTooMany: (socket) => {
      onPressure("calls of strangers");
      connections.get(socket)?.expel();
    },
  });
  const http2Servers = createHttp2(handler, limits.streams, connections);
  return {
    connectionOf,
    isTooOften: (request) => tooOften.has(request),
    serve(socket, protocol, connection) {
      socket.on("error", () => socket.destroy());
      // A connection that is just ending has no handle to be served on.
      if (socket.destroyed) return;
      connections.set(socket, connection);
      turns.watch(socket, connection);
      if (protocol === "h2") return http2Servers.serve(socket, connection);
      connection.opened(() => socket.destroySoon());
      return http1.serve(socket);
    },
    drain() {
      http1.drain();
      http2Servers.drain();
    },
  };
}

function pathOf({ url = "/" }: NodeRequest): string {
  return url.split("?", 1)[0] ?? "/";
}

interface Served {
  serve(socket: net.Socket): void;
  drain(): void;
}

interface Http1Options {
  readonly requestTimeout: number;
  /** How many calls may run on a connection at once. */
  readonly callsOn: (socket: net.Socket) => number;
  readonly onTooMany: (socket: net.Socket) => void;
}

function createHttp1(handler: NodeHandler, { requestTimeout, callsOn, onTooMany }: Http1Options): Served {
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

function endUnheard(response: http.ServerResponse): void {
  if (response.closed) return;
  response.on("error", () => undefined).destroy();
  response.emit("close");
}

function createHttp2(
  handler: NodeHandler,
  streams: number,
  connections: WeakMap<object, Connection>,
): { serve(socket: net.Socket, connection: Connection): void; drain(): void } {
  let draining = false;
  let serving: Connection | undefined;
  const settings = { maxConcurrentStreams: Math.min(streams, streamsOfStranger), maxHeaderListSize };
  const server = http2.createServer({ maxSessionMemory: 32, settings }, handler);
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    if (serving !== undefined) look(session, serving);
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
  const look = (session: http2.ServerHttp2Session, connection: Connection) => {
    connections.set(session, connection);
    connection.opened(() => session.close());
    connection.onProven(() => {
      if (streams > streamsOfStranger && !session.closed && !session.destroyed)
        session.settings({ maxConcurrentStreams: streams });
    });
  };
  return {
    serve(socket, connection) {
      // The session is made, and told of, before this returns.
      serving = connection;
      server.emit("connection", socket);
      serving = undefined;
    },
    drain() {
      draining = true;
      for (const session of sessions) session.close();
    },
  };
}
