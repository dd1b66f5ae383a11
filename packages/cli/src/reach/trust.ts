import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { certificateHash, readCertificate } from "@decnet/common/pki/certificates";
import type { ClientTls } from "@decnet/common/rpc/client-tls";
import { UsageError } from "../usage-error.ts";
import type { Address } from "./address.ts";

/** What the CLI trusts: one authority's file, or without it the authorities of this machine. */
export function tlsFor(caFile: string): ClientTls {
  return {
    ...(caFile === "" ? {} : { caPem: readCa(caFile) }),
    // A decnet authority signs for one installation: the master may be reached at any address, but a worker is no master.
    anyName: ({ identity }) => caFile !== "" && identity?.role === "master",
    checkIdentity: ({ identity }) =>
      identity?.role === "agent" ? new Error("the certificate is that of a worker, not of a master") : undefined,
  };
}

function readCa(file: string): string {
  try {
    const pem = readFileSync(file, "utf8");
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new UsageError(
      `cannot use ${file} as a certificate authority: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** `sha256:` and the hex digest of a certificate's DER. */
export function fingerprintOf(pem: string): string {
  return `sha256:${certificateHash(pem)}`;
}

/** The same fingerprint, however it is written: with colons, in capitals, as `SHA256:…` or as openssl prints it. */
export function sameFingerprint(one: string, other: string): boolean {
  const bare = (text: string) =>
    text
      .toLowerCase()
      .replace(/^sha-?256([ :=]|fingerprint)*/, "")
      .replaceAll(":", "")
      .trim();
  return bare(one) === bare(other);
}

/** What a server showed, before anything was sent to it. */
export interface Shown {
  /** What is to be trusted from now on: the authority that it sent along, else its own certificate. */
  readonly pem: string;
  readonly fingerprint: string;
  readonly subject: string;
  readonly notAfter: Date;
  /** The certificate authority of a decnet installation, and a master of it. */
  readonly isMaster: boolean;
  /** This machine's own authorities vouch for it already. */
  readonly isKnown: boolean;
}

/** Looks at the certificate of a server without trusting it. */
export function lookAt({ host, port }: Address, ms: number): Promise<Shown> {
  return new Promise((resolve, reject) => {
    const servername = net.isIP(host) === 0 ? host : "";
    const socket = tls.connect({ host, port, servername, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), ms);
    socket.once("close", () => {
      clearTimeout(timer);
      reject(new Error("the connection was closed"));
    });
    socket.once("error", (error) => reject(error));
    socket.once("secureConnect", () => {
      try {
        resolve(read(socket));
      } catch (error) {
        reject(error);
      }
      socket.destroy();
    });
  });
}

function read(socket: tls.TLSSocket): Shown {
  const sent = socket.getPeerCertificate(true);
  let last = sent;
  while (last.issuerCertificate !== undefined && last.issuerCertificate !== last) last = last.issuerCertificate;
  const [own, authority] = [new X509Certificate(sent.raw), new X509Certificate(last.raw)];
  const isSigned = own.fingerprint256 === authority.fingerprint256 || own.checkIssued(authority);
  const trusted = isSigned ? authority : own;
  const facts = readCertificate(trusted);
  return {
    pem: trusted.toString(),
    fingerprint: `sha256:${facts.fingerprint}`,
    subject: trusted.subject.replaceAll("\n", ", "),
    notAfter: facts.notAfter,
    isMaster: readCertificate(own).identity?.role === "master",
    isKnown: socket.authorized,
  };
}
