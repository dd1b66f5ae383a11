import tls from "node:tls";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type CertificateFacts, readCertificate } from "../pki/certificates.ts";
import { hearErrors } from "./hear-errors.ts";

export interface ClientTransport {
  readonly transport: Transport;
  close(): void;
}

export interface ClientTls {
  /** The only authorities that are trusted; undefined: those of this machine. */
  readonly caPem?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  /** The name that the server's certificate must carry, when it is not the one in the address. */
  readonly servername?: string;
  /**
   * For an authority that signs masters of one installation alone: the address that one is reached at need not be in its
   * certificate. A function decides it for each certificate.
   */
  readonly anyName?: boolean | ((facts: CertificateFacts) => boolean);
  /** A further look at a certificate whose chain and name hold; what it answers breaks the connection. */
  readonly checkIdentity?: (facts: CertificateFacts) => Error | undefined;
}

/** A gRPC transport over one kept connection. `address` is `http://host:port`, or `https://host:port` with `tls`. */
export function createClientTransport(options: { address: string; token: string; tls?: ClientTls }): ClientTransport {
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
      interceptors: [bearer],
      sessionManager: hearErrors(sessionManager),
    }),
    close: () => sessionManager.abort(),
  };
}

/** What Node.js needs to know to trust the same servers, and no others. */
export function connectionOptions(settings: ClientTls): tls.ConnectionOptions {
  const { caPem, certPem, keyPem, servername, anyName, checkIdentity } = settings;
  return {
    ...(caPem === undefined ? {} : { ca: caPem }),
    minVersion: "TLSv1.2",
    ...(certPem === undefined ? {} : { cert: certPem }),
    ...(keyPem === undefined ? {} : { key: keyPem }),
    ...(servername === undefined ? {} : { servername }),
    checkServerIdentity: (host, certificate) => {
      const facts = readCertificate(certificate.raw);
      const isAnyName = typeof anyName === "function" ? anyName(facts) : anyName === true;
      return (isAnyName ? undefined : tls.checkServerIdentity(host, certificate)) ?? checkIdentity?.(facts);
    },
  };
}
