import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { AppError } from "@decnet/common/errors/app-error";
import { certificateHash, readCertificate } from "@decnet/common/pki/certificates";
import type { JoinToken } from "@decnet/common/pki/join-token";
import { splitAddress } from "./connection/address.ts";

/** A master that proved to be the one that a token names, and the connection on which it did: nothing was sent yet. */
export interface FoundMaster {
  readonly address: string;
  readonly caPem: string;
  readonly socket: tls.TLSSocket;
}

const handshakeMs = 5_000;
const serverPurpose = "1.3.6.1.5.5.7.3.1";

/** Somebody else answers: what the token names is not there. */
class OtherMaster extends Error {}

/** Somebody took the connection and cut it, as masters do that have too much to do. */
class HungUp extends Error {}

const busyAgainMs = 1_000;

/**
 * The first address of the token at which its master answers. Throws CA_MISMATCH, MASTER_UNREACHABLE (with the time after which a
 * busy one may be asked again) or CLOCK_SKEW.
 */
export async function findMaster(token: JoinToken, onProgress: (what: string) => void): Promise<FoundMaster> {
  const failures: { readonly address: string; readonly error: unknown }[] = [];
  for (const address of token.masters) {
    try {
      const socket = await openUnverified(address);
      try {
        const caPem = checkMaster(socket, token.caHash, new Date());
        onProgress(`${address} is the master that the token names (CA ${token.caHash.slice(0, 16)}…)`);
        return { address, caPem, socket };
      } catch (error) {
        socket.destroy();
        throw error;
      }
    } catch (error) {
      if (error instanceof AppError) throw error;
      failures.push({ address, error });
    }
  }
  const message = failures.map(({ address, error }) => `${address}: ${error instanceof Error ? error.message : String(error)}`);
  const isOther = failures.some(({ error }) => error instanceof OtherMaster);
  if (isOther) throw new AppError("CA_MISMATCH", message.join("; "));
  const isBusy = failures.some(({ error }) => error instanceof HungUp);
  throw new AppError("MASTER_UNREACHABLE", message.join("; "), isBusy ? { retryAfterMs: busyAgainMs } : {});
}

/** A connection whose other side only proved that it has the key of its certificate. */
async function openUnverified(address: string): Promise<tls.TLSSocket> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve, reject) => {
    // Node has no authority to check against before this connection told it: checkMaster does it, before anything is sent.
    const socket = tls.connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ["h2"], minVersion: "TLSv1.2" });
    const end = () => {
      clearTimeout(timer);
      socket.off("error", fail).off("close", hungUp);
    };
    const fail = (error: NodeJS.ErrnoException) => {
      end();
      socket.on("error", () => undefined).destroy();
      reject(error.code === "ECONNRESET" ? new HungUp("it hung up") : error);
    };
    const hungUp = () => fail(new HungUp("it hung up"));
    const timer = setTimeout(() => fail(new Error("no answer")), handshakeMs);
    socket.once("error", fail).once("close", hungUp);
    socket.once("secureConnect", () => {
      end();
      socket.on("error", () => socket.destroy());
      resolve(socket);
    });
  });
}

/**
 * Believes the other side when it sent the authority whose hash the token holds, and that authority signed its certificate,
 * for a TLS server with the master's role, and for now. Answers the authority's certificate.
 */
function checkMaster(socket: tls.TLSSocket, caHash: string, now: Date): string {
  const sent = socket.getPeerCertificate(true);
  const { issuerCertificate } = sent;
  if (issuerCertificate === undefined || issuerCertificate === sent) throw new OtherMaster("it sent no certificate authority");
  const [own, authority] = [new X509Certificate(sent.raw), new X509Certificate(issuerCertificate.raw)];
  const caPem = authority.toString();
  if (certificateHash(caPem) !== caHash) throw new OtherMaster("its certificate authority is not the one that the token names");
  if (!own.checkIssued(authority) || !own.verify(authority.publicKey))
    throw new OtherMaster("its certificate is not signed by the certificate authority that the token names");
  if (own.ca || own.keyUsage?.includes(serverPurpose) !== true || readCertificate(own).identity?.role !== "master")
    throw new OtherMaster("it is a part of the installation that the token names, but no master");
  for (const certificate of [authority, own]) refuseOtherTimes(certificate, now);
  return caPem;
}

function refuseOtherTimes(certificate: X509Certificate, now: Date): void {
  const { notBefore, notAfter } = readCertificate(certificate);
  const problem = now < notBefore ? "is not yet valid" : now >= notAfter ? "has expired" : undefined;
  if (problem !== undefined)
    throw new AppError("CLOCK_SKEW", `at this machine's time, ${now.toISOString()}, the master's certificate ${problem}`);
}
