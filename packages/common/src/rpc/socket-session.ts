import http2 from "node:http2";
import type { Duplex } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import type { createGrpcTransport } from "@connectrpc/connect-node";
import { keepAlive } from "./keep-alive.ts";

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

/** Calls over one connection that is open already, whichever side opened it: we are the HTTP/2 client there. */
export interface SocketSession {
  /** For a transport. Calls fail with Unavailable once the connection is over. */
  readonly manager: SessionManager;
  /** Whether the other side answers a ping in time. */
  answers(timeoutMs: number): Promise<boolean>;
  /** Ends the connection; calls that are open end with Canceled. */
  close(): void;
}

/** One session on one connection: both end together. A side that does not answer is given up within ten seconds. */
export function openSocketSession(socket: Duplex, authority: string): SocketSession {
  const session = http2.connect(authority, { createConnection: () => socket, settings: { enablePush: false } });
  const close = () => {
    // Without an error, calls that are open would never end.
    const over = new ConnectError("the connection was ended", Code.Canceled);
    if (!session.destroyed) session.destroy(over, http2.constants.NGHTTP2_CANCEL);
    socket.destroy();
  };
  session.on("error", () => socket.destroy());
  session.once("close", () => socket.destroy());
  keepAlive(session, close);
  return {
    manager: {
      authority,
      async request(method, path, headers, options) {
        if (session.closed || session.destroyed) throw new ConnectError("the connection is over", Code.Unavailable);
        return session.request({ ...headers, ":method": method, ":path": path }, options);
      },
      notifyResponseByteRead: () => undefined,
    },
    answers: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), timeoutMs);
        const end = (isAnswered: boolean) => {
          clearTimeout(timer);
          resolve(isAnswered);
        };
        if (session.closed || session.destroyed) return end(false);
        session.ping((error) => end(error === null));
      }),
    close,
  };
}
