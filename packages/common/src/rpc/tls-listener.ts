import { constants } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { createBuckets } from "../runtime/buckets.ts";
import type { Connection } from "./connection.ts";
import type { Connections } from "./connections.ts";
import type { HttpServers } from "./http-servers.ts";
import { type Listener, listen } from "./listener.ts";
import type { Pace } from "./pace.ts";
import { type Peer, peerOf } from "./peer.ts";

export interface TlsOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly keyPem: string;
  readonly certPem: string;
  /** Whose client certificates count. It is sent along, so that a client which knows its hash can check the whole chain. */
  readonly caPem: string;
  /**
   * Sockets that negotiated this ALPN protocol are not RPC: they are handed over after the handshake, whatever the peer is; ask
   * peerOf(socket). An error of such a socket ends it; the server cuts those that are left when it closes.
   */
  readonly takeover?: { readonly alpn: string; readonly accept: (socket: tls.TLSSocket) => void };
}

export interface TlsListener extends Listener {
  /**
   * For handshakes from now on; connections that are open stay as they are. Throws, and changes nothing, when the two do not
   * fit.
   */
  renew(options: { keyPem: string; certPem: string }): void;
  /** Cuts the connections whose peer matches, as it was after the handshake, and says how many. */
  disconnect(matches: (peer: Peer) => boolean): number;
}

const handshakeMs = 10_000;
/** A worker has two connections, and for a moment two more when it comes back. */
const connectionsOfHost = 8;
/**
 * A thousand workers behind one address come back as fast as they can be served: the handshake of one that proves itself takes
 * nothing from the others, unless it comes again and again.
 */
const handshakesOfHost = { burst: connectionsOfHost, perSecond: 1 / 4 };

/** A handshake that is not over. */
interface Shake {
  readonly connection: Connection;
  /** What it cost is there for the next of its address. */
  giveBack: () => void;
}

/**
 * Clients may come with a certificate, with a foreign one or with none: the handshake refuses nobody, so that callers get an
 * answer and not a broken connection. Who may do what is decided for each call, by its Peer.
 */
export async function listenTls(
  options: TlsOptions,
  http: HttpServers,
  connections: Connections,
  pace: Pace,
): Promise<TlsListener> {
  const { takeover } = options;
  const server = tls.createServer({
    ...contextOf(options.caPem, options),
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMs,
    ALPNProtocols: [...(takeover === undefined ? [] : [takeover.alpn]), "h2", "http/1.1"],
  });
  const peers = new Map<tls.TLSSocket, Peer>();
  /** Connections whose handshake is not over, by both ends: a TLS socket does not tell which one it stands on. */
  const shaking = new Map<string, Shake>();
  const handshakesOf = createBuckets(handshakesOfHost);
  const accepting = net.createServer({ pauseOnConnect: true }, (socket) => {
    const connection = connections.admit(socket, "tls");
    if (connection === undefined) return;
    const ends = endsOf(socket);
    const shake: Shake = { connection, giveBack: () => undefined };
    shaking.set(ends, shake);
    socket.once("close", () => shaking.delete(ends));
    pace.begin(connection.source, {
      isOver: () => socket.destroyed,
      begin(giveBack) {
        shake.giveBack = giveBack;
        server.emit("connection", socket);
      },
    });
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  server.on("secureConnection", (socket) => {
    const shake = shaking.get(endsOf(socket));
    if (socket.destroyed || shake === undefined) return void socket.destroy();
    const { connection } = shake;
    const peer = peerOf(socket);
    socket.on("error", () => socket.destroy()).once("close", () => peers.delete(socket));
    peers.set(socket, peer);
    const identity = peer.certificate?.identity;
    const who = identity?.role === "agent" ? `host ${identity.hostId}` : identity?.role === "master" ? "master" : undefined;
    if (who !== undefined) connection.prove(who, connectionsOfHost);
    if (who !== undefined && handshakesOf(who).take()) shake.giveBack();
    if (takeover === undefined || socket.alpnProtocol !== takeover.alpn)
      return http.serve(socket, socket.alpnProtocol === "h2" ? "h2" : "http/1.1", connection);
    connection.handOver();
    takeover.accept(socket);
  });
  const listener = await listen(accepting, options);
  return {
    ...listener,
    renew(renewed) {
      const context = contextOf(options.caPem, renewed);
      tls.createSecureContext(context);
      server.setSecureContext(context);
    },
    disconnect(matches) {
      const matching = [...peers].filter(([, peer]) => matches(peer));
      for (const [socket] of matching) socket.destroy();
      return matching.length;
    },
  };
}

/** Without session resumption: each connection proves its certificate again. */
function contextOf(caPem: string, { keyPem, certPem }: { keyPem: string; certPem: string }): tls.SecureContextOptions {
  return {
    key: keyPem,
    cert: `${certPem.trimEnd()}\n${caPem}`,
    ca: caPem,
    minVersion: "TLSv1.2",
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: net.Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
