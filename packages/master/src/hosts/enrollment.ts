import { createHash, randomUUID } from "node:crypto";
import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import type { CertificateAuthority, IssuedCertificate } from "@decnet/common/pki/certificates";
import { readPublicKey } from "@decnet/common/pki/signing-request";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import { type AgentFacts, AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { admit, admitEngine } from "../decide/admission.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { hostFact } from "../model/host-events.ts";
import { IsNull } from "../store/conditions.ts";
import type { Database, Tx } from "../store/database.ts";
import type { JoinTokenStore } from "../store/join-tokens.ts";
import type { EventLog } from "../store/outbox.ts";
import { type HostRow, Hosts, JoinTokens, type RefusedJoinRow, RefusedJoins } from "../store/tables.ts";
import { insertRows, updateRows } from "../store/write.ts";

export interface EnrollmentOptions {
  readonly database: Database;
  readonly authority: CertificateAuthority;
  readonly tokens: JoinTokenStore;
  readonly registry: HostRegistry;
  /** Told after every change of a host's certificates. */
  readonly accepted: { forget(hostId: string): void };
  readonly events: EventLog;
  readonly catalogueDigest: string;
  readonly version: string;
  readonly certificateTtlMs: number;
}

export interface Enrollment {
  /** Certificate and host for a join token. A refusal is kept, with its reason, for the operator who waits for the worker. */
  enroll(request: {
    readonly tokenId: string;
    readonly tokenSecret: string;
    readonly csrPem: string;
    readonly facts: AgentFacts | undefined;
    readonly address: string;
  }): Promise<{ readonly host: HostRow; readonly certificate: IssuedCertificate }>;
  /**
   * A new certificate; the one that asked for it stays valid until it ends. While the host is connected, only the certificate that it is connected with is
   * renewed: a copy of an older one leads nowhere.
   */
  renew(host: Pick<HostRow, "id" | "name">, serial: string, csrPem: string): Promise<IssuedCertificate>;
  refused(most: number): Promise<RefusedJoinRow[]>;
}

/** As many as a list returns at most. */
const maxRefusals = 1_000;

export function createEnrollment(options: EnrollmentOptions): Enrollment {
  const { database, authority, tokens, registry, accepted, events, certificateTtlMs } = options;

  const issue = (host: Pick<HostRow, "id" | "name">, csrPem: string): Promise<IssuedCertificate> =>
    authority.issueAgent({ csrPem, hostId: host.id, hostName: host.name, ttlMs: certificateTtlMs, now: new Date() });

  /** A name that is known and whose worker is away may join again: a lost disk, an expired certificate. Its old certificates end there. */
  const takeHost = async (tx: Tx, name: string, labels: Record<string, string>, known: string | null): Promise<HostRow> => {
    const present = await tx
      .getRepository(Hosts)
      .findOne({ where: { name, decommissionedAt: IsNull() }, lock: { mode: "pessimistic_write" } });
    if (present !== null) {
      if (present.id !== known && registry.isReachable(name))
        throw new AppError("HOST_EXISTS", `a worker is connected as ${name} already`, { metadata: { host: name } });
      return { ...present, labels: { ...present.labels, ...labels } };
    }
    return {
      id: randomUUID(),
      name,
      labels,
      draining: false,
      decommissioning: false,
      facts: null,
      address: "",
      message: "",
      engineProblem: "",
      certificateSerials: [],
      certificateExpiresAt: new Date(),
      reportStream: "",
      reportSequence: "0",
      enrolledAt: new Date(),
      lastSeen: null,
      decommissionedAt: null,
    };
  };

  const enroll: Enrollment["enroll"] = async ({ tokenId, tokenSecret, csrPem, facts, address }) => {
    const key = createHash("sha256").update(readPublicKey(csrPem)).digest("hex");
    const done = await database.transaction(async (tx) => {
      const token = await tokens.use(tx, { id: tokenId, secret: tokenSecret, key });
      // Only who holds a token learns what does not fit; the token stays unused then.
      admit(facts, { catalogueDigest: options.catalogueDigest, version: options.version, now: new Date() });
      admitEngine(facts);
      const taken = await takeHost(tx, token.hostName, token.labels, token.hostId);
      const certificate = await issue(taken, csrPem);
      const isRepeated = token.hostId === taken.id;
      const host: HostRow = {
        ...taken,
        facts: facts === undefined ? null : (toJson(AgentFactsSchema, facts) as JsonObject),
        address,
        message: "",
        certificateSerials: isRepeated ? [certificate.serial, ...taken.certificateSerials].slice(0, 2) : [certificate.serial],
        certificateExpiresAt: certificate.notAfter,
        enrolledAt: new Date(),
      };
      const { id, ...rest } = host;
      if ((await updateRows(tx, Hosts, { id }, rest)) === 0) await insertRows(tx, Hosts, [host]);
      await updateRows(tx, JoinTokens, { id: tokenId }, { hostId: host.id });
      await tokens.spend(tx, host.id, tokenId);
      await events.append(tx, hostFact(host.name, "enrolled", "joined"));
      return { host, certificate };
    });
    accepted.forget(done.host.id);
    events.wake();
    return done;
  };

  return {
    async enroll(request) {
      try {
        return await enroll(request);
      } catch (error) {
        if (error instanceof AppError) await keepRefusal(request, error);
        throw error;
      }
    },
    async renew(host, serial, csrPem) {
      const connected = registry.connected(host.name);
      if (connected !== undefined && connected.id === host.id && connected.serial !== serial)
        throw new AppError("HOST_ALREADY_CONNECTED", `${host.name} is connected with another certificate`, {
          metadata: { host: host.name },
        });
      const certificate = await issue(host, csrPem);
      await database.transaction(async (tx) => {
        const now = await tx
          .getRepository(Hosts)
          .findOne({ where: { id: host.id, decommissionedAt: IsNull() }, lock: { mode: "pessimistic_write" } });
        if (now?.certificateSerials.includes(serial) !== true)
          throw new AppError("CERTIFICATE_REFUSED", "the certificate is revoked");
        const patch = { certificateSerials: [certificate.serial, serial], certificateExpiresAt: certificate.notAfter };
        await updateRows(tx, Hosts, { id: host.id }, patch);
      });
      accepted.forget(host.id);
      return certificate;
    },
    refused: (most) => database.read((tx) => tx.getRepository(RefusedJoins).find({ order: { at: "DESC" }, take: most })),
  };

  async function keepRefusal(request: Parameters<Enrollment["enroll"]>[0], error: AppError): Promise<void> {
    await database.read(async (tx) => {
      const tokenId = cleanText(request.tokenId, 64);
      const token = await tx.getRepository(JoinTokens).findOneBy({ id: tokenId });
      await insertRows(tx, RefusedJoins, [
        {
          id: randomUUID(),
          at: new Date(),
          tokenId,
          hostName: token?.hostName ?? "",
          machineName: cleanText(request.facts?.machineName ?? "", 64),
          address: request.address,
          reason: error.reason,
          message: cleanText(error.message, 500),
        },
      ]);
      // Anybody who reaches the port can be refused: what is kept has an end.
      await tx.query("DELETE FROM refused_joins WHERE id IN (SELECT id FROM refused_joins ORDER BY at DESC, id OFFSET $1)", [
        maxRefusals,
      ]);
    });
  }
}
