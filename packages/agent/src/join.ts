import { createPrivateKey, X509Certificate } from "node:crypto";
import { hostname } from "node:os";
import tls from "node:tls";
import { createClient } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { certificateHash, createKeyAndCsr } from "@decnet/common/pki/certificates";
import { type JoinToken, parseJoinToken } from "@decnet/common/pki/join-token";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type AgentFacts, EnrollmentService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { splitAddress } from "./connection/address.ts";
import type { AgentIdentity } from "./identity.ts";

const handshakeMs = 5_000;

export interface JoinOptions {
  readonly token: string;
  readonly facts: AgentFacts;
  /** Told what was verified, step by step. */
  readonly onProgress: (what: string) => void;
}

/**
 * Makes this machine a worker: knows the master by the CA's hash in the token before anything is sent, makes the key here, and gets a certificate for it.
 * Throws the master's refusal, or MASTER_UNREACHABLE with what was tried.
 */
export async function joinSwarm({ token: text, facts, onProgress }: JoinOptions): Promise<AgentIdentity> {
  const token = parseJoinToken(text);
  const { address, caPem } = await findMaster(token, onProgress);
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: hostname() });
  onProgress("a key was made; it does not leave this machine");
  const { transport, close } = createClientTransport({
    address: `https://${address}`,
    token: "",
    tls: { caPem, anyName: true, checkIdentity },
  });
  try {
    const request = { tokenId: token.id, tokenSecret: token.secret, csr: csrPem, facts };
    const answer = await createClient(EnrollmentService, transport)
      .enroll(request, { timeoutMs: 30_000 })
      .catch((error: unknown) => {
        const { reason, message } = fromConnectError(error);
        // The chain holds, or the hash would not: only the time can be wrong.
        if (/certificate (is not yet valid|has expired)/.test(message))
          throw new AppError("CLOCK_SKEW", `at this machine's time, ${new Date().toISOString()}, the master's ${message}`, {
            cause: error,
          });
        throw reason === "HOST_UNREACHABLE" || reason === "WAIT_ENDED"
          ? new AppError("MASTER_UNREACHABLE", `${address}: ${message}`, { cause: error })
          : error;
      });
    if (!new X509Certificate(answer.certificate).checkPrivateKey(createPrivateKey(keyPem)))
      throw new AppError("CERTIFICATE_REFUSED", "the master answered a certificate for another key");
    onProgress(`the token was taken; this is ${answer.hostName}`);
    return {
      hostId: answer.hostId,
      hostName: answer.hostName,
      installation: answer.installation,
      masters: [address, ...token.masters.filter((other) => other !== address)],
      certificate: answer.certificate,
      caCertificate: caPem,
      keyPem,
    };
  } finally {
    close();
  }
}

function checkIdentity(facts: { readonly identity: { readonly role: string } | undefined }): Error | undefined {
  return facts.identity?.role === "master" ? undefined : new Error("the other side is no master");
}

/** The first address of the token at which a master with the right CA answers. */
async function findMaster(token: JoinToken, onProgress: JoinOptions["onProgress"]): Promise<{ address: string; caPem: string }> {
  const failures: string[] = [];
  for (const address of token.masters) {
    try {
      const caPem = await readAuthority(address);
      if (certificateHash(caPem) !== token.caHash)
        throw new Error("its certificate authority is not the one that the token names");
      onProgress(`${address} is the master that the token names (CA ${token.caHash.slice(0, 16)}…)`);
      return { address, caPem };
    } catch (error) {
      failures.push(`${address}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const isForeign = failures.some((failure) => failure.includes("certificate authority"));
  throw new AppError(isForeign ? "CA_MISMATCH" : "MASTER_UNREACHABLE", failures.join("; "));
}

/** The root that a server sends along. Nothing is believed yet, and nothing is sent: whoever uses it compares its hash first. */
async function readAuthority(address: string): Promise<string> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ["h2"], minVersion: "TLSv1.2" });
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), handshakeMs);
    socket.once("error", reject).once("close", () => {
      clearTimeout(timer);
      reject(new Error("it hung up"));
    });
    socket.once("secureConnect", () => {
      const leaf = socket.getPeerCertificate(true);
      const root = leaf.issuerCertificate;
      if (root === undefined || root === leaf) reject(new Error("it sent no certificate authority"));
      else
        resolve(
          `-----BEGIN CERTIFICATE-----\n${(root.raw.toString("base64").match(/.{1,64}/g) ?? []).join("\n")}\n-----END CERTIFICATE-----\n`,
        );
      socket.end();
    });
  });
}
