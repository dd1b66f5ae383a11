import { X509Certificate } from "node:crypto";
import type net from "node:net";
import type tls from "node:tls";
import { type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";
import { type CertificateFacts, readCertificate } from "../pki/certificates.ts";
import type { NodeRequest } from "./node-calls.ts";

/** Who is at the other end of a connection, as far as the connection itself tells. */
export interface Peer {
  readonly transport: "plaintext" | "tls";
  /** The IP address. */
  readonly address: string;
  /** Only when our authority signed it for a client and it is valid now. */
  readonly certificate: CertificateFacts | undefined;
  /** Why a certificate that was presented does not count, as OpenSSL names it: `CERT_HAS_EXPIRED`. */
  readonly certificateProblem: string | undefined;
  /** A certificate of our authority that is over: it grants nothing, and tells who that was. */
  readonly expired: CertificateFacts | undefined;
}

const local: Peer = {
  transport: "plaintext",
  address: "",
  certificate: undefined,
  certificateProblem: undefined,
  expired: undefined,
};
/** A connection that is gone already. Nothing is known of it, so nothing is granted to it. */
const gone: Peer = { ...local, transport: "tls" };

/**
 * On a socket: what its accepted certificate says, read once. It is found through HTTP/2 too, which gives out a proxy of its
 * socket.
 */
const kAccepted = Symbol("the accepted certificate of the other end");

/** Set for every call by the server. */
export const kPeer = createContextKey<Peer>(local, { description: "who is at the other end" });

/**
 * The peer of a connection whose handshake is over. Certificates expire while connections live: ask again when it matters.
 * With the authority's certificate it also knows who came with one that is over.
 */
export function peerOf(socket: net.Socket | tls.TLSSocket, caPem?: string): Peer {
  const address = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
  if (!isTls(socket)) return { ...local, address };
  const known = Reflect.get(socket, kAccepted) as CertificateFacts | undefined;
  if (known !== undefined) return ifCurrent({ ...gone, address, certificate: known });
  try {
    return tlsPeer(socket, address, caPem);
  } catch {
    // A stranger's certificate may hold anything; what cannot be read proves nothing.
    return { ...gone, address, certificateProblem: "UNREADABLE" };
  }
}

function tlsPeer(socket: tls.TLSSocket, address: string, caPem: string | undefined): Peer {
  const presented = socket.getPeerX509Certificate();
  if (presented === undefined) return { ...gone, address };
  if (!socket.authorized)
    return {
      ...gone,
      address,
      certificateProblem: `${socket.authorizationError}`,
      ...(caPem !== undefined && isSignedBy(caPem, presented) ? { expired: readCertificate(presented) } : {}),
    };
  const certificate = readCertificate(presented);
  Reflect.set(socket, kAccepted, certificate);
  return ifCurrent({ ...gone, address, certificate });
}

/** Makes the context of each request, and reads the certificate of a connection once. */
export function createPeerContext(caPem?: string): (request: NodeRequest) => ContextValues {
  const known = new WeakMap<object, Peer>();
  const find = (request: NodeRequest): Peer => {
    const connection = "stream" in request ? request.stream.session : request.socket;
    if (connection === undefined || connection.destroyed) return gone;
    const peer = known.get(connection) ?? peerOf("socket" in connection ? connection.socket : connection, caPem);
    known.set(connection, peer);
    return ifCurrent(peer);
  };
  return (request) => createContextValues().set(kPeer, find(request));
}

/** A resumed session and a long-lived connection remember a certificate that was valid once. */
function ifCurrent(peer: Peer): Peer {
  if (peer.certificate === undefined || peer.certificate.notAfter.getTime() > Date.now()) return peer;
  return { ...peer, certificate: undefined, certificateProblem: "CERT_HAS_EXPIRED", expired: peer.certificate };
}

/**
 * What OpenSSL says about a certificate that is both foreign and over depends on the order of its checks: the signature
 * decides.
 */
function isSignedBy(caPem: string, certificate: X509Certificate): boolean {
  return new Date(certificate.validTo).getTime() <= Date.now() && certificate.verify(new X509Certificate(caPem).publicKey);
}

/** HTTP/2 gives out its socket behind a proxy, which answers reads but not `in`. */
function isTls(socket: net.Socket | tls.TLSSocket): socket is tls.TLSSocket {
  return typeof Reflect.get(socket, "getPeerX509Certificate") === "function";
}
