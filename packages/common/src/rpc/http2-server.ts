import http2 from "node:http2";
import type net from "node:net";
import type { Connection } from "./connection.ts";
import type { NodeHandler } from "./node-calls.ts";

const pingEveryMs = 20_000;
/** Clients of HTTP/2 take so many for granted before they were told: of fewer, honest ones would have calls refused. */
const streamsOfStranger = 100;
/** Headers of one request. */
const maxHeaderListSize = 16 << 10;

export interface Http2Server {
  serve(socket: net.Socket, connection: Connection): void;
  /** Ends each connection as soon as no call runs on it. */
  drain(): void;
}

/** `connections` is told whose each session is. Somebody who is known may have `streams` on one. */
export function createHttp2(handler: NodeHandler, streams: number, connections: WeakMap<object, Connection>): Http2Server {
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
    session.on("error", (error) => {
      if (isBreach(error) && !connection.isProven()) connection.expel();
    });
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

/** The caller sent what HTTP/2 forbids, or too much of what it allows; not: he ended the session for a reason of his own. */
function isBreach(error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith("ERR_HTTP2_") === true && error.code !== "ERR_HTTP2_SESSION_ERROR";
}
