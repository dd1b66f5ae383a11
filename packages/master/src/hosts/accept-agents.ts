import type tls from "node:tls";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Health } from "@decnet/common/gen/grpc/health/v1/health_pb";
import type { Logger } from "@decnet/common/logging/logger";
import { readCertificate } from "@decnet/common/pki/certificates";
import type { ConnectedHost, HostRegistry } from "./host-registry.ts";
import type { HostStore } from "./host-store.ts";
import { createRemoteHost } from "./remote-host.ts";

export interface AcceptAgentsOptions {
  readonly store: HostStore;
  readonly registry: HostRegistry;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

const answerMs = 3_000;
/** Together they notice a dead peer in ten seconds. */
const pingEveryMs = 4_000;
const pingAnswerMs = 6_000;

/**
 * Takes TLS connections that agents opened to be served on, and makes hosts of them. The certificate says which host it is; one that is decommissioned,
 * expired or not ours is hung up on, and so is a second agent while the first one answers.
 */
export function createAgentAcceptor({ store, registry, log, stopping }: AcceptAgentsOptions): (socket: tls.TLSSocket) => void {
  const accept = async (socket: tls.TLSSocket): Promise<void> => {
    const address = socket.remoteAddress ?? "";
    const refuse = (why: string) => {
      log.warn("an agent's connection was refused", { address, why });
      socket.destroy();
    };
    const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    const facts = certificate === undefined ? undefined : readCertificate(certificate.raw);
    if (facts?.identity?.role !== "agent") return refuse("it has no valid agent certificate");
    const row = await store.accepts(facts.identity.hostId, facts.serial);
    if (row === undefined) return refuse("its certificate is revoked");
    const present = registry.connected(row.name);
    if (present !== undefined) {
      if (await present.answers()) return refuse(`another agent is connected as ${row.name}`);
      present.close();
    }
    if (socket.destroyed || stopping.aborted) return void socket.destroy();
    const host = connectBack(row.id, row.name, socket, address, (row.facts?.["warnings"] as string[] | undefined) ?? []);
    socket.once("close", () => registry.detach(row.name, host));
    registry.attach(row.name, host);
    log.info("a host is connected", { host: row.name, address });
  };
  return (socket) => {
    socket.on("error", () => socket.destroy());
    accept(socket).catch((error: unknown) => {
      log.error("an agent's connection could not be taken", { err: error });
      socket.destroy();
    });
  };
}

/** HTTP/2 with the roles turned round: the agent opened the connection, the master calls. */
function connectBack(
  id: string,
  name: string,
  socket: tls.TLSSocket,
  address: string,
  warnings: readonly string[],
): ConnectedHost {
  const baseUrl = "http://agent";
  let isUsed = false;
  const sessionManager = new Http2SessionManager(
    baseUrl,
    { pingIntervalMs: pingEveryMs, pingTimeoutMs: pingAnswerMs, pingIdleConnection: true, idleConnectionTimeoutMs: 2 ** 31 - 1 },
    {
      createConnection() {
        if (isUsed || socket.destroyed) throw new Error("the agent's connection is over");
        isUsed = true;
        return socket;
      },
    },
  );
  const transport = createGrpcTransport({ baseUrl, sessionManager, readMaxBytes: 16 << 20 });
  const health = createClient(Health, transport);
  void sessionManager.connect();
  let look: Date | undefined;
  return {
    id,
    address,
    since: new Date(),
    link: createRemoteHost(name, transport, warnings),
    lookedAt: () => look,
    noteLook(at) {
      look = at;
    },
    answers: () =>
      health.check({}, { timeoutMs: answerMs }).then(
        () => true,
        () => false,
      ),
    close() {
      sessionManager.abort();
      socket.destroy();
    },
  };
}
