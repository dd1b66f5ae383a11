import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type ClientTls, connectionOptions } from "./client-tls.ts";
import { hearErrors } from "./hear-errors.ts";

export interface ClientTransport {
  readonly transport: Transport;
  close(): void;
}

/** A gRPC transport over one kept connection. `address` is `http://host:port`, or `https://host:port` with `tls`. */
export function createClientTransport(options: {
  address: string;
  token: string;
  tls?: ClientTls;
  /** See each call before its token is added. */
  interceptors?: readonly Interceptor[];
}): ClientTransport {
  if (options.tls !== undefined && !options.address.startsWith("https://"))
    throw new Error(`${options.address} is not an https address, so nothing would be encrypted`);
  const sessionManager = new Http2SessionManager(
    options.address,
    { pingIntervalMs: 10_000, pingTimeoutMs: 5_000 },
    options.tls === undefined ? {} : connectionOptions(options.tls),
  );
  const bearer: Interceptor = (next) => (request) => {
    if (options.token !== "") request.header.set("authorization", `Bearer ${options.token}`);
    return next(request);
  };
  return {
    transport: createGrpcTransport({
      baseUrl: options.address,
      interceptors: [...(options.interceptors ?? []), bearer],
      sessionManager: hearErrors(sessionManager),
    }),
    close: () => sessionManager.abort(),
  };
}
