import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

export interface ClientTransport {
  readonly transport: Transport;
  close(): void;
}

/** A gRPC transport over one kept connection. `address` is `http://host:port`. */
export function createClientTransport(options: { address: string; token: string }): ClientTransport {
  const sessionManager = new Http2SessionManager(options.address, { pingIntervalMs: 10_000, pingTimeoutMs: 5_000 });
  const bearer: Interceptor = (next) => (request) => {
    if (options.token !== "") request.header.set("authorization", `Bearer ${options.token}`);
    return next(request);
  };
  return {
    transport: createGrpcTransport({ baseUrl: options.address, interceptors: [bearer], sessionManager }),
    close: () => sessionManager.abort(),
  };
}
