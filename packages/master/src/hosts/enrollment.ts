import { createHash, randomUUID } from "node:crypto";
import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import type { CertificateAuthority, IssuedCertificate } from "@decnet/common/pki/certificates";
import { readPublicKey } from "@decnet/common/pki/signing-request";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import { type AgentFacts, AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { admit, admitEngine } from "../decide/admission.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { hostEvent } from "../model/events.ts";
import { acceptsCertificate, type Host, type JoinToken, type RefusedJoin } from "../model/host.ts";
import type { Tx } from "../store/database.ts";
import { violatedConstraint } from "../store/database-errors.ts";
import type { Store } from "../store/store.ts";
import type { AgentCaller, AgentSessions } from "./agent-sessions.ts";

export interface EnrollmentOptions {
  readonly store: Store;
  readonly authority: CertificateAuthority;
  readonly registry: HostRegistry;
  readonly sessions: AgentSessions;
  /** Told after every change of a host's certificates. */
  readonly accepted: { forget(hostId: string): void };
  readonly catalogueDigest: string;
  readonly version: string;
  readonly certificateTtlMs: number;
}

/** The certificate that an agent calls with. */
export interface AgentCertificate {
  readonly serial: string;
  readonly number: number;
}

/**
 * With this step of its numbers a host that joins again leaves behind every certificate that it had, also those that a database
 * restored from a backup does not know of.
 */
const afterJoin = 1_000;

export interface Enrollment {
  /** Certificate and host for a join token. A refusal is kept, with its reason, for those who wait for the worker. */
  enroll(request: {
    readonly tokenId: string;
    readonly tokenSecret: string;
    readonly csrPem: string;
    readonly facts: AgentFacts | undefined;
    readonly address: string;
  }): Promise<{ readonly host: Host; readonly certificate: IssuedCertificate }>;
  /**
   * A new certificate; the one that asked for it stays valid until it ends. While the host is connected, only the certificate
   * that it is connected with is renewed: a copy of an older one leads nowhere.
   */
  renew(
    host: Pick<Host, "id" | "name">,
    present: AgentCertificate,
    csrPem: string,
    caller: AgentCaller,
  ): Promise<IssuedCertificate>;
  refused(most: number): Promise<RefusedJoin[]>;
}

export function createEnrollment(options: EnrollmentOptions): Enrollment {
  const { store, authority, registry, accepted, certificateTtlMs } = options;

  const issue = ({ id, name }: Pick<Host, "id" | "name">, number: number, csrPem: string): Promise<IssuedCertificate> =>
    authority.issueAgent({ csrPem, hostId: id, hostName: name, number, ttlMs: certificateTtlMs, now: new Date() });

  /**
   * A name that is known and whose worker is away may join again: a lost disk, an expired certificate. Its old certificates
   * end there.
   */
  const takeHost = (present: Host | undefined, { hostName: name, labels, hostId }: JoinToken, since: Date): Host => {
    if (present !== undefined) {
      if (present.id !== hostId && registry.isReachable(name))
        throw new AppError("HOST_EXISTS", `a worker is connected as ${name} already`, { metadata: { host: name } });
      // Of several that join at once, the first one has the name.
      if (present.id !== hostId && present.enrolledAt >= since) throw joinedFirst(name);
      return { ...present, labels: { ...present.labels, ...labels } };
    }
    return newHost(name, labels);
  };

  const enroll: Enrollment["enroll"] = async ({ tokenId, tokenSecret, csrPem, facts, address }) => {
    const key = createHash("sha256").update(readPublicKey(csrPem)).digest("hex");
    const since = new Date();
    let hostName = "";
    const work = async (tx: Tx) => {
      // The host before its tokens: a decommission, which locks both in this order, and a join do not wait for each other.
      hostName = (await store.joinTokens.hostOf(tx, { id: tokenId, secret: tokenSecret })) ?? "";
      const present = hostName === "" ? undefined : await store.hosts.lockByName(tx, hostName);
      const token = await store.joinTokens.use(tx, { id: tokenId, secret: tokenSecret, key });
      // Only who holds a token learns what does not fit; the token stays unused then.
      admit(facts, { catalogueDigest: options.catalogueDigest, version: options.version, now: new Date() });
      admitEngine(facts);
      const taken = takeHost(present, token, since);
      const isRepeated = token.hostId === taken.id;
      const number = taken.certificateNumber + (isRepeated ? 1 : afterJoin);
      const certificate = await issue(taken, number, csrPem);
      const host: Host = {
        ...taken,
        agentInfo: facts === undefined ? null : (toJson(AgentFactsSchema, facts) as JsonObject),
        address,
        message: "",
        certificateSerial: certificate.serial,
        certificateNumber: number,
        acceptedNumber: isRepeated ? taken.certificateNumber : number,
        certificateExpiresAt: certificate.notAfter,
        enrolledAt: new Date(),
      };
      await store.hosts.save(tx, host);
      await store.joinTokens.assign(tx, tokenId, host.id);
      await store.joinTokens.spend(tx, host.id, tokenId);
      store.events.append(tx, hostEvent(host.name, "enrolled", "joined"));
      return { host, certificate };
    };
    const done = await store.transaction(work).catch((error: unknown) => {
      throw violatedConstraint(error) === "hosts_active_name" ? joinedFirst(hostName) : error;
    });
    accepted.forget(done.host.id);
    store.events.wake();
    return done;
  };

  const joinedFirst = (name: string) =>
    new AppError("HOST_EXISTS", `another worker joined as ${name} at the same time`, { metadata: { host: name } });

  return {
    async enroll(request) {
      try {
        return await enroll(request);
      } catch (error) {
        if (error instanceof AppError) await store.refusedJoins.add(refusalOf(request, error));
        throw error;
      }
    },
    async renew(host, { serial, number }, csrPem, caller) {
      await options.sessions.requireOwn(host, caller, "asked for a certificate");
      const connected = registry.connected(host.name);
      if (connected !== undefined && connected.id === host.id && connected.serial !== serial)
        throw new AppError("HOST_ALREADY_CONNECTED", `${host.name} is connected with another certificate`, {
          metadata: { host: host.name },
        });
      const certificate = await store.transaction(async (tx) => {
        const now = await store.hosts.lock(tx, host.id);
        if (now?.decommissionedAt !== null || !acceptsCertificate(now, number))
          throw new AppError("CERTIFICATE_REFUSED", "the certificate is revoked");
        const next = Math.max(now.certificateNumber, number) + 1;
        const issued = await issue(host, next, csrPem);
        await store.hosts.update(tx, host.id, {
          certificateSerial: issued.serial,
          certificateNumber: next,
          acceptedNumber: number,
          certificateExpiresAt: issued.notAfter,
        });
        return issued;
      });
      accepted.forget(host.id);
      return certificate;
    },
    refused: store.refusedJoins.list,
  };
}

/** A refusal as it is kept. */
function refusalOf(request: Parameters<Enrollment["enroll"]>[0], error: AppError) {
  return {
    tokenId: cleanText(request.tokenId, 64),
    machineName: cleanText(request.facts?.machineName ?? "", 64),
    address: request.address,
    reason: error.reason,
    message: cleanText(error.message, 500),
  };
}

function newHost(name: string, labels: Host["labels"]): Host {
  return {
    id: randomUUID(),
    name,
    labels,
    draining: false,
    decommissioning: false,
    agentInfo: null,
    address: "",
    message: "",
    engineProblem: "",
    certificateSerial: "",
    certificateNumber: 0,
    acceptedNumber: 0,
    certificateExpiresAt: new Date(),
    reportStream: "",
    reportSequence: "0",
    enrolledAt: new Date(),
    lastSeen: null,
    decommissionedAt: null,
  };
}
