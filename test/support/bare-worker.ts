import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http2 from "node:http2";
import { join } from "node:path";
import tls from "node:tls";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { agentAlpn, protocolVersion } from "@decnet/common/protocol-version";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import {
  type AgentFacts,
  AgentFactsSchema,
  EnrollmentService,
  RegistrationService,
} from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { eventually, type TestMaster } from "./use-master.ts";

/** Calls over one connection that is kept. */
export interface BareCalls {
  readonly registration: Client<typeof RegistrationService>;
  readonly enrollment: Client<typeof EnrollmentService>;
  close(): void;
}

/** A worker that is a key and a certificate, and says whatever the test makes it say. */
export interface BareWorker {
  readonly name: string;
  readonly hostId: string;
  facts(): AgentFacts;
  /** A connection of its own, as whoever holds the key opens one; from another address of this machine when one is given. */
  calls(): BareCalls;
  /** Opens the connection that the master calls on, and serves it. Resolves when the master has it. */
  serve(agent: Partial<ServiceImpl<typeof AgentService>>): Promise<tls.TLSSocket>;
  /** Opens the connection that the master calls on, and serves nothing there. */
  dial(): Promise<tls.TLSSocket>;
  dispose(): void;
}

/** Joins by the real call. */
export async function enrolBareWorker(options: {
  readonly master: TestMaster;
  readonly name: string;
  readonly catalogueDigest: string;
}): Promise<BareWorker> {
  const { master, name, catalogueDigest } = options;
  const cleanups: (() => void)[] = [];
  const caPem = await readFile(join(master.config.dataDir, "pki", "ca.pem"), "utf8");
  const facts = () =>
    create(AgentFactsSchema, {
      agentVersion: "test",
      protocolVersion,
      catalogueDigest,
      clock: timestampFromDate(new Date()),
      machineName: name,
    });
  const callsAs = (own: { certPem?: string; keyPem?: string }): BareCalls => {
    const address = `https://127.0.0.1:${master.tlsPort}`;
    const { transport, close } = createClientTransport({ address, token: "", tls: { caPem, ...own } });
    cleanups.push(close);
    return {
      registration: createClient(RegistrationService, transport),
      enrollment: createClient(EnrollmentService, transport),
      close,
    };
  };
  const { secret } = await master.swarm.createJoinToken({ hostName: name });
  const token = parseJoinToken(secret);
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: name });
  const request = { tokenId: token.id, tokenSecret: token.secret, csr: csrPem, facts: facts() };
  const { hostId, certificate: certPem } = await callsAs({}).enrollment.enroll(request);
  const dial = async (): Promise<tls.TLSSocket> => {
    const port = master.tlsPort ?? 0;
    const socket = tls.connect({ host: "127.0.0.1", port, ca: caPem, cert: certPem, key: keyPem, ALPNProtocols: [agentAlpn] });
    cleanups.push(() => socket.destroy());
    socket.on("error", () => socket.destroy());
    await once(socket, "secureConnect");
    return socket;
  };
  return {
    name,
    hostId,
    dial,
    facts,
    calls: () => callsAs({ certPem, keyPem }),
    async serve(agent) {
      const socket = await dial();
      const server = http2.createServer(connectNodeAdapter({ routes: (router) => router.service(AgentService, agent) }));
      server.on("session", (session) => session.on("error", () => socket.destroy()));
      server.emit("connection", socket);
      await eventually(async () => (await master.swarm.getHost({ name })).host?.connectedSince !== undefined);
      return socket;
    },
    dispose() {
      for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) cleanup();
    },
  };
}

/** Why a call was refused; "taken" when it was not. */
export async function refusalReason(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "taken",
    (error: unknown) => fromConnectError(error).reason,
  );
}
