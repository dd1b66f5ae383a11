import http2 from "node:http2";
import type net from "node:net";
import { admitRequests } from "./admit-requests.ts";
import type { Connection } from "./connection.ts";
import { createFirstCalls } from "./first-calls.ts";
import { createHttp1, passOver } from "./http1-server.ts";
import { createHttp2 } from "./http2-server.ts";
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

/**
 * So many calls without a credential may wait for their responses on one connection; of HTTP/1.1, where Node.js begins all that a
 * caller sends, so many calls of any kind.
 */
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
    if (connection.isExpelled()) return;
    turns.note(connection);
    response.once("close", connection.begin());
    watchBody(request, response, limits.bodyMs, () => onPressure("a body that is late"));
    if (connection.isProven()) return admitted(request, response);
    if (request.headers.authorization !== undefined && needsProof(pathOf(request))) return guess(request, response, connection);
    if (takesBareCall(response, connection)) return admit(request, response, connection);
    const times = noteTooOften(connection);
    if (times > patience.withReasons) return refuse(request, response, connection, times);
    tooOften.add(request);
    admitted(request, response);
  };
  const bareCalls = new WeakMap<Connection, number>();
  const takesBareCall = (response: NodeResponse, connection: Connection): boolean => {
    const count = bareCalls.get(connection) ?? 0;
    if (count >= callsOfStranger || !connection.takesBareCall()) return false;
    bareCalls.set(connection, count + 1);
    response.once("close", () => bareCalls.set(connection, (bareCalls.get(connection) ?? 1) - 1));
    return true;
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
  const calls = { plaintext: createPace(strangersCalls), tls: createPace(strangersCalls) };
  const admit = (request: NodeRequest, response: NodeResponse, connection: Connection) => {
    if (connection.isProven()) return admitted(request, response);
    let isOver = false;
    for (const each of [request, response]) each.on("error", () => undefined);
    response.once("close", () => (isOver = true));
    calls[connection.port].begin(connection.line, { isOver: () => isOver, begin: () => admitted(request, response) });
  };
  const tooOften = new WeakSet<NodeRequest>();
  const timesTooOften = new WeakMap<Connection, number>();
  const refuse = (request: NodeRequest, response: NodeResponse, connection: Connection, times: number) => {
    if (times > patience.atAll) return expel(request, connection);
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    if ("stream" in request) return request.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    return sendText(response, 429, "too many calls without a token", { "retry-after": `${retryAfterMs / 1_000}` });
  };
  const http1 = createHttp1(handler, {
    bodyMs: limits.bodyMs,
    callsOn: (socket) => (connections.get(socket)?.isProven() === true ? limits.streams : callsOfStranger),
    onTooMany: (socket) => {
      const connection = connections.get(socket);
      onPressure(connection?.isProven() === true ? "calls of one connection" : "calls of strangers");
      passOver(socket);
      connection?.expel();
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

function expel(request: NodeRequest, connection: Connection): void {
  if (!("stream" in request)) passOver(request.socket);
  connection.expel();
}

function pathOf({ url = "/" }: NodeRequest): string {
  return url.split("?", 1)[0] ?? "/";
}
