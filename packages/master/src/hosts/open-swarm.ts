import { networkInterfaces } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type tls from "node:tls";
import type { Logger } from "@decnet/common/logging/logger";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { agentAlpn } from "@decnet/common/protocol-version";
import type { RpcServer } from "@decnet/common/rpc/server";
import type { TlsOptions } from "@decnet/common/rpc/tls-listener";
import type { MasterConfig } from "../config.ts";
import { issueServerCertificate } from "./authority.ts";

/** The master's TLS port: what it presents, where workers reach it, and the renewal of its certificate. */
export interface SwarmPort {
  /** Undefined when the master does not listen for workers. */
  readonly tls: TlsOptions | undefined;
  /** When the certificate ends that new handshakes present; undefined when it does not listen. */
  certificateUntil(): Date | undefined;
  /** host:port; empty when it does not listen. */
  addresses(): readonly string[];
  /** Call it once the server runs; resolves when stopping. */
  keepCertificate(server: RpcServer, stopping: AbortSignal, log: Logger): Promise<void>;
}

export async function openSwarmPort(
  config: Pick<MasterConfig, "tls">,
  authority: CertificateAuthority,
  accept: (socket: tls.TLSSocket) => void,
): Promise<SwarmPort> {
  const { tls: wanted } = config;
  if (wanted === undefined)
    return { tls: undefined, certificateUntil: () => undefined, addresses: () => [], keepCertificate: () => Promise.resolve() };
  const names = wanted.advertise.length > 0 ? wanted.advertise.map(withoutPort) : ownAddresses(wanted.host);
  const certified = [...new Set([...names, "localhost", "127.0.0.1"])];
  let issued = await issueServerCertificate(authority, certified);
  let port = wanted.port;
  return {
    tls: {
      host: wanted.host,
      port: wanted.port,
      keyPem: issued.keyPem,
      certPem: issued.certPem,
      caPem: authority.certPem,
      takeover: { alpn: agentAlpn, accept },
    },
    certificateUntil: () => issued.notAfter,
    addresses: () =>
      wanted.advertise.length > 0
        ? wanted.advertise.map((name) => withPort(name, port))
        : names.map((name) => withPort(name, port)),
    async keepCertificate(server, stopping, log) {
      port = server.tlsPort ?? port;
      while (!stopping.aborted) {
        await sleep(issued.renewInMs, stopping);
        if (stopping.aborted) return;
        issued = await issueServerCertificate(authority, certified);
        server.renewTls(issued);
        log.info("the TLS port's certificate was renewed");
      }
    },
  };
}

/** Where this machine is reached when it listens on every address; link-local addresses lead nowhere else. */
function ownAddresses(host: string): string[] {
  if (host !== "0.0.0.0" && host !== "::") return [host];
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? [])
      .filter(({ internal, family, address }) => !internal && family === "IPv4" && !address.startsWith("169.254."))
      .map(({ address }) => address),
  );
}

function withPort(name: string, port: number): string {
  if (/:\d{1,5}$/.test(name) && !/^[0-9a-f:]+$/i.test(name)) return name;
  return name.includes(":") && !name.startsWith("[") ? `[${name}]:${port}` : `${name}:${port}`;
}

function withoutPort(name: string): string {
  return /^[^:]+:\d{1,5}$/.test(name) || name.startsWith("[") ? name.replace(/:\d{1,5}$/, "").replace(/^\[|\]$/g, "") : name;
}

/** Timers hold at most 24 days. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const end = Date.now() + ms;
  while (!signal.aborted && Date.now() < end)
    await delay(Math.min(end - Date.now(), 86_400_000), undefined, { signal, ref: false }).catch(() => undefined);
}
