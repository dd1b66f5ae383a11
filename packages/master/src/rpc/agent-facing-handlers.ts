import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import type { CertificateFacts } from "@decnet/common/pki/certificates";
import { kPeer } from "@decnet/common/rpc/peer";
import type { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { DriftPolicy } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { toRefMessage } from "@decnet/engine/wire/decky-spec";
import { kHost } from "../access/authenticate.ts";
import type { AgentCertificate } from "../hosts/enrollment.ts";
import type { MasterParts } from "./parts.ts";

/** Calls that agents make. Who they are is their certificate's word, checked before a handler runs. */

export function createEnrollmentHandlers({ swarm, installation }: MasterParts): ServiceImpl<typeof EnrollmentService> {
  return {
    async enroll(request, context) {
      const { host, certificate } = await swarm.enrollment.enroll({
        tokenId: request.tokenId,
        tokenSecret: request.tokenSecret,
        csrPem: request.csr,
        facts: request.facts,
        address: context.values.get(kPeer).address,
      });
      context.values.set(kHost, host);
      return {
        hostId: host.id,
        hostName: host.name,
        installation,
        certificate: certificate.certPem,
        caCertificate: swarm.caCertPem,
        expiresAt: timestampFromDate(certificate.notAfter),
      };
    },
    async renewCertificate(request, context) {
      const from = context.values.get(kPeer);
      const caller = { from, instanceId: request.instanceId };
      const present = agentCertificateOf(from.certificate);
      const certificate = await swarm.enrollment.renew(hostOf(context), present, request.csr, caller);
      return { certificate: certificate.certPem, expiresAt: timestampFromDate(certificate.notAfter) };
    },
  };
}

export function createRegistrationHandlers({ swarm }: MasterParts): ServiceImpl<typeof RegistrationService> {
  return {
    async register(request, context) {
      const host = hostOf(context);
      const { acknowledged, remove, driftPolicy } = await swarm.registration.register(
        host,
        request,
        context.values.get(kPeer),
        context.signal,
      );
      return {
        acknowledged,
        serverTime: timestampFromDate(new Date()),
        remove: remove.map(toRefMessage),
        hostName: host.name,
        driftPolicy: policies[driftPolicy],
        masters: [...swarm.addresses()],
      };
    },
    async report(request, context) {
      const from = context.values.get(kPeer);
      const { driftPolicy, ...answer } = await swarm.registration.report(hostOf(context), request, from, context.signal);
      return { ...answer, driftPolicy: policies[driftPolicy], masters: [...swarm.addresses()] };
    },
  };
}

const policies = { repair: DriftPolicy.REPAIR, report: DriftPolicy.REPORT } as const;

function agentCertificateOf(certificate: CertificateFacts | undefined): AgentCertificate {
  if (certificate?.identity?.role !== "agent")
    throw new AppError("CERTIFICATE_REFUSED", "this call needs an agent's certificate");
  return { serial: certificate.serial, number: certificate.identity.number };
}

function hostOf(context: HandlerContext) {
  const host = context.values.get(kHost);
  if (host === undefined) throw new AppError("CERTIFICATE_REFUSED", "this call needs an agent's certificate");
  return host;
}
