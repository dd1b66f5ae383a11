import type { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

/**
 * A session manager whose sessions always have a listener for errors. By itself it stops listening when it lets go of a session: one that was given up a moment
 * before, for a ping without answer, then tells its error to nobody, and that ends the whole process.
 */
export function hearErrors(manager: Http2SessionManager): SessionManager {
  const heard = new WeakSet<object>();
  return {
    authority: manager.authority,
    async request(...request) {
      const stream = await manager.request(...request);
      const { session } = stream;
      if (session !== undefined && !heard.has(session)) {
        heard.add(session);
        session.on("error", () => undefined);
      }
      return stream;
    },
    notifyResponseByteRead: (stream) => manager.notifyResponseByteRead(stream),
  };
}
