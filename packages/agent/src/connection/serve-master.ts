import http2 from "node:http2";
import tls from "node:tls";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { readCertificate } from "@decnet/common/pki/certificates";
import { agentAlpn } from "@decnet/common/protocol-version";
import { admitRequests } from "@decnet/common/rpc/admit-requests";
import { keepAlive } from "@decnet/common/rpc/keep-alive";
import type { AgentIdentity } from "../identity.ts";
import { splitAddress } from "./address.ts";
import { describeEnd, type LinkEnd, lost, stoppingEnd } from "./link-end.ts";

const handshakeMs = 10_000;

/**
 * Opens a TLS connection to a master and serves HTTP/2 on it: the master is the client there. Resolves when the connection is
 * up; `closed` resolves with why when it is over. The other side must hold a certificate with the master role of our
 * installation. Rejects when `signal` is aborted before.
 */
export async function serveMaster(options: {
  readonly identity: AgentIdentity;
  readonly address: string;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  readonly onDefect: (error: unknown) => void;
  /** Told to the master every few seconds. */
  readonly checkedMsAgo: () => number | undefined;
  /** The master has something to tell in answer to a report. */
  readonly onReportNow: () => void;
  readonly signal: AbortSignal;
}): Promise<{ readonly closed: Promise<LinkEnd>; close(end: LinkEnd): void }> {
  const { identity, signal } = options;
  const socket = await connectTls(identity, options.address, signal);
  const adapter = connectNodeAdapter({
    routes: options.routes,
    interceptors: options.interceptors,
    readMaxBytes: 16 << 20,
    // What a compressed message saves on the way, its reader pays for: the master, once for each of thousands of deckies.
    compressMinBytes: 64 << 10,
  });
  const server = http2.createServer({ maxSessionMemory: 64 }, admitRequests(adapter, options.onDefect));
  let end = lost("the master closed the connection");
  const onAbort = () => close(stoppingEnd);
  const closed = new Promise<LinkEnd>((resolve) => {
    socket.once("close", () => {
      signal.removeEventListener("abort", onAbort);
      server.close();
      resolve(end);
    });
  });
  const close = (why: LinkEnd) => {
    if (!socket.destroyed) end = why;
    socket.destroy();
  };
  socket.on("error", (error) => {
    if (end.kind === "lost") end = lost(error);
  });
  server.on("session", (session) => {
    session.on("error", () => socket.destroy());
    session.once("close", () => socket.destroy());
    // A session that is told to go away may wait for ever for its last bytes to be sent.
    session.once("goaway", () => socket.destroy());
    keepAlive(session, {
      ping: "always",
      onDead: () => close(lost("the master does not answer any more")),
      note() {
        const msAgo = options.checkedMsAgo();
        return msAgo === undefined ? undefined : { kind: "checked", msAgo };
      },
      onNote: (note) => note.kind === "report-now" && options.onReportNow(),
    });
  });
  server.emit("connection", socket);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return { closed, close };
}

async function connectTls(identity: AgentIdentity, address: string, signal: AbortSignal): Promise<tls.TLSSocket> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host,
      port,
      ca: identity.caCertificate,
      cert: identity.certificate,
      key: identity.keyPem,
      ALPNProtocols: [agentAlpn],
      minVersion: "TLSv1.2",
      checkServerIdentity: (_, certificate) => refuseOtherMaster(certificate.raw, identity.installation),
    });
    const fail = (error: Error) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error(`no answer from ${address} within ${handshakeMs / 1000} s`)), handshakeMs);
    const onAbort = () => fail(new Error(describeEnd(stoppingEnd)));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    socket.once("error", fail);
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.off("error", fail);
      socket.setNoDelay(true);
      if (socket.alpnProtocol === agentAlpn) resolve(socket);
      else fail(new Error(`${address} does not take agents`));
    });
  });
}

/** Only masters of our installation; which address they answer at does not matter, the CA signs no others. */
export function refuseOtherMaster(der: Buffer, installation: string): Error | undefined {
  const { identity } = readCertificate(der);
  return identity?.role === "master" && identity.installation === installation
    ? undefined
    : new Error("the other side is not a master of this installation");
}
