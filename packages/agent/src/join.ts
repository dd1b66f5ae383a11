import { createPrivateKey, X509Certificate } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AppError } from "@decnet/common/errors/app-error";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { openSocketSession } from "@decnet/common/rpc/socket-session";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { type AgentFacts, EnrollmentService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { findMaster } from "./find-master.ts";
import type { AgentIdentity } from "./identity.ts";

const enrollMs = 30_000;
const backoff = { baseMs: 500, maxMs: 8_000 };

export interface JoinOptions {
  readonly token: string;
  readonly facts: AgentFacts;
  /** Told what was verified, step by step. */
  readonly onProgress: (what: string) => void;
  /**
   * How long a master is asked again that has too much to do, as thousands may join in the same minute, or whose response was
   * lost.
   */
  readonly patienceMs?: number;
}

/**
 * Makes this machine a worker: knows the master by the CA's hash in the token before anything is sent, makes the key here, and
 * gets a certificate for it. A master that has too much to do, and one whose response was lost, is asked again with the same key,
 * for which the token may be used again. Throws the master's refusal, or MASTER_UNREACHABLE with what was tried.
 */
export async function joinSwarm(options: JoinOptions): Promise<AgentIdentity> {
  const until = performance.now() + (options.patienceMs ?? 60_000);
  let key: Key | undefined;
  const makeKey = async () => {
    if (key === undefined) {
      key = await createKeyAndCsr({ commonName: hostname() });
      options.onProgress("a key was made; it does not leave this machine");
    }
    return key;
  };
  for (let failures = 0; ; failures += 1)
    try {
      return await join(options, makeKey);
    } catch (error) {
      const waitMs = backoffMs(failures, backoff, Math.random);
      const why = error instanceof ResponseLost ? "the response was lost" : isBusy(error) && "the master has too much to do";
      if (why === false || performance.now() + waitMs > until) throw error;
      options.onProgress(`${why}; again in ${(waitMs / 1_000).toFixed(1)} s`);
      await delay(waitMs);
    }
}

type Key = Awaited<ReturnType<typeof createKeyAndCsr>>;

/** The connection ended after the token was sent: whether it was used is not known. */
class ResponseLost extends AppError {
  constructor(address: string, cause: unknown) {
    const said = ConnectError.from(cause).rawMessage;
    super("MASTER_UNREACHABLE", `${address}: ${said}; no response came, so the token may be used up: then it takes a new one`, {
      cause,
    });
  }
}

/** Refused because of what others do, and before anything was done. */
function isBusy(error: unknown): boolean {
  return error instanceof AppError ? error.retryAfterMs !== undefined : fromConnectError(error).reason === "OVERLOADED";
}

/** Over one connection. */
async function join({ token: text, facts, onProgress }: JoinOptions, makeKey: () => Promise<Key>): Promise<AgentIdentity> {
  const token = parseJoinToken(text);
  const { address, caPem, socket } = await findMaster(token, onProgress);
  const baseUrl = `https://${address}`;
  const session = openSocketSession(socket, baseUrl);
  try {
    const { keyPem, csrPem } = await makeKey();
    const enrollment = createClient(EnrollmentService, createGrpcTransport({ baseUrl, sessionManager: session.manager }));
    const request = { tokenId: token.id, tokenSecret: token.secret, csr: csrPem, facts };
    const answer = await enrollment.enroll(request, { timeoutMs: enrollMs }).catch((error: unknown) => {
      throw isLost(error) ? new ResponseLost(address, error) : error;
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
    session.close();
  }
}

/** Nothing came back, and not a refusal. */
function isLost(error: unknown): boolean {
  const { reason } = fromConnectError(error);
  const isBroken = reason === "INTERNAL" && [Code.Canceled, Code.Aborted].includes(ConnectError.from(error).code);
  return reason === "HOST_UNREACHABLE" || reason === "WAIT_ENDED" || isBroken;
}
