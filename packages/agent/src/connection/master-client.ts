import { type Client, createClient } from "@connectrpc/connect";
import { type ClientTransport, createClientTransport } from "@decnet/common/rpc/client";
import { callSpans } from "@decnet/common/tracing/call-spans";
import { EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { AgentIdentity } from "../identity.ts";

export interface MasterClient {
  readonly enrollment: Client<typeof EnrollmentService>;
  readonly registration: Client<typeof RegistrationService>;
  close(): void;
}

/** Ordinary calls to a master, over a connection of their own with this worker's certificate. */
export function connectMaster(identity: AgentIdentity, address: string): MasterClient {
  const transport: ClientTransport = createClientTransport({
    address: `https://${address}`,
    token: "",
    interceptors: [callSpans],
    tls: {
      caPem: identity.caCertificate,
      certPem: identity.certificate,
      keyPem: identity.keyPem,
      anyName: true,
      checkIdentity: (facts) =>
        facts.identity?.role === "master" && facts.identity.installation === identity.installation
          ? undefined
          : new Error("the other side is not a master of this installation"),
    },
  });
  return {
    enrollment: createClient(EnrollmentService, transport.transport),
    registration: createClient(RegistrationService, transport.transport),
    close: transport.close,
  };
}
