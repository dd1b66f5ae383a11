import type { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

/**
 * A session manager whose sessions always have a listener for errors. By itself it stops listening when it lets go of a
 * session: one that was given up a moment before, for a ping without answer, then tells its error to nobody, and that ends
 * the whole process. Requests name the authority themselves: Node.js would leave out the brackets of an IPv6 address.
 */
export function hearErrors(manager: Http2SessionManager): SessionManager {
  const heard = new WeakSet<object>();
  const authority = new URL(manager.authority).host;
  return {
    authority: manager.authority,
    async request(method, path, headers, options) {
      const stream = await manager.request(method, path, { ":authority": authority, ...headers }, options);
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
