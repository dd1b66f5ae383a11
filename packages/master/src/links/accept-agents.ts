import type tls from "node:tls";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Logger } from "@decnet/common/logging/logger";
import { agentAlpn } from "@decnet/common/protocol-version";
import { admitForeign } from "@decnet/common/rpc/foreign-message";
import { peerOf } from "@decnet/common/rpc/peer";
import { openSocketSession } from "@decnet/common/rpc/socket-session";
import { createBuckets } from "@decnet/common/runtime/buckets";
import { callSpans } from "@decnet/common/tracing/call-spans";
import type { Reason } from "@decnet/contract/reasons";
import type { Host } from "../model/host.ts";
import type { AuditLog } from "../store/audit.ts";
import type { HostStore } from "../store/hosts.ts";
import type { HostLeases } from "./host-leases.ts";
import type { ConnectedHost, HostRegistry } from "./host-registry.ts";
import { createRemoteHost } from "./remote-host.ts";

export interface AcceptAgentsOptions {
  readonly store: HostStore;
  readonly registry: HostRegistry;
  readonly audit: AuditLog;
  readonly leases: Pick<HostLeases, "take" | "release">;
  /** Which agent registered for a host here last. */
  readonly agentOf: (hostId: string) => string;
  /** Whether the agent of a host that another master holds answers there. */
  readonly answersElsewhere: (host: string) => Promise<boolean>;
  readonly caPem: string;
  /** Told of a second agent that wanted to serve a host. */
  readonly onSecond: (host: Pick<Host, "id" | "name">, address: string) => Promise<void>;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

const answerMs = 3_000;
const baseUrl = "http://agent";
/**
 * How often a host is served anew, which is stored and told to everybody each time: an agent that loses its line again and again
 * waits up to five seconds in between.
 */
const arrivals = { burst: 60, perSecond: 1 / 4 };

/**
 * Takes TLS connections that agents opened to be served on, and makes hosts of them. The certificate says which host it is;
 * one that is decommissioned, expired or not ours is hung up on, and so is a second agent while the first one answers.
 */
export function createAgentAcceptor({
  store,
  registry,
  audit,
  leases,
  agentOf,
  answersElsewhere,
  caPem,
  onSecond,
  log,
  stopping,
}: AcceptAgentsOptions): (socket: tls.TLSSocket) => void {
  const arrivalsOf = createBuckets(arrivals);
  const accept = async (socket: tls.TLSSocket): Promise<void> => {
    const address = socket.remoteAddress ?? "";
    const refuse = async (host: string, outcome: Reason, why: string) => {
      socket.destroy();
      log.warn("an agent's connection was refused", { address, host, why });
      const actor = host === "" ? "" : `host ${host}`;
      await audit.recordStranger(address, {
        actor,
        action: agentAlpn,
        target: host,
        outcome,
        operationId: "",
        reason: why,
        peer: address,
      });
    };
    const { certificate, expired, certificateProblem } = peerOf(socket, caPem);
    const identity = (certificate ?? expired)?.identity;
    const named = identity?.role === "agent" ? identity.hostId : "";
    if (certificate === undefined || named === "") {
      const why = certificateProblem ?? "it has no agent's certificate";
      return refuse(named === "" ? "" : await store.nameOf(named), "CERTIFICATE_REFUSED", why);
    }
    if (!arrivalsOf(named).take()) {
      const next = "its agent's log says why it comes again; decnet host decommission keeps it away";
      log.warn("a worker comes and goes too often to be served", { hostId: named, address, next });
      return void socket.destroy();
    }
    const number = identity?.role === "agent" ? identity.number : 0;
    const { serial, notAfter } = certificate;
    const row = await store.accepts({ hostId: named, number, serial, notAfter });
    if (row === undefined) return refuse(await store.nameOf(named), "CERTIFICATE_REFUSED", "its certificate is revoked");
    const present = registry.connected(row.name);
    if (present !== undefined) {
      if (await present.answers()) {
        await refuse(row.name, "HOST_ALREADY_CONNECTED", "another agent is connected");
        return onSecond(row, address);
      }
      present.close();
      registry.detach(row.name, present);
    }
    if (socket.destroyed || stopping.aborted) return void socket.destroy();
    const epoch = await takeHost(row, address);
    if (epoch === undefined) {
      await refuse(row.name, "HOST_ALREADY_CONNECTED", "another agent is connected to another master");
      return onSecond(row, address);
    }
    if (registry.connected(row.name) !== undefined)
      return refuse(row.name, "HOST_ALREADY_CONNECTED", "another agent was quicker");
    if (socket.destroyed || stopping.aborted) {
      leases.release(row.name);
      return void socket.destroy();
    }
    const warnings = (row.agentInfo?.["warnings"] as string[] | undefined) ?? [];
    const host = connectBack(row, { serial, epoch, warnings }, socket, address);
    endWithCertificate(socket, notAfter);
    socket.once("close", () => registry.detach(row.name, host));
    registry.attach(row.name, host);
    log.info("a host is connected", { host: row.name, address });
  };
  /** The same agent comes from another master with its host; a host with another one stays where that answers. */
  const takeHost = async ({ id, name }: Host, address: string): Promise<number | undefined> => {
    const take = () => leases.take(name, agentOf(id), address);
    const first = await take();
    if (first.kind === "taken") return first.epoch;
    if (await answersElsewhere(name)) return undefined;
    const again = await take();
    return again.kind === "taken" ? again.epoch : undefined;
  };
  return (socket) => {
    socket.on("error", () => socket.destroy());
    accept(socket).catch((error: unknown) => {
      log.error("an agent's connection could not be taken", { err: error });
      socket.destroy();
    });
  };
}

/** No connection outlives its certificate: a worker that does not renew it is not heard any more. */
function endWithCertificate(socket: tls.TLSSocket, notAfter: Date): void {
  let timer: NodeJS.Timeout | undefined;
  const check = () => {
    const leftMs = notAfter.getTime() - Date.now();
    if (leftMs <= 0) socket.destroy();
    // A clock that is set meanwhile is noticed within a minute.
    else timer = setTimeout(check, Math.min(leftMs, 60_000)).unref();
  };
  socket.once("close", () => clearTimeout(timer));
  check();
}

/** HTTP/2 with the roles turned round: the agent opened the connection, the master calls. */
function connectBack(
  { id, name }: Host,
  { serial, epoch, warnings }: { readonly serial: string; readonly epoch: number; readonly warnings: readonly string[] },
  socket: tls.TLSSocket,
  address: string,
): ConnectedHost {
  let checkedAt: Date | undefined;
  const noteCheck = (at: Date) => {
    if (checkedAt === undefined || at > checkedAt) checkedAt = at;
  };
  const session = openSocketSession(socket, baseUrl, (note) => {
    if (note.kind === "checked") noteCheck(new Date(Date.now() - note.msAgo));
  });
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: session.manager,
    readMaxBytes: 16 << 20,
    interceptors: [callSpans, admitAnswers],
  });
  return {
    id,
    serial,
    epoch,
    address,
    since: new Date(),
    link: createRemoteHost(name, transport, warnings),
    checkedAt: () => checkedAt,
    noteCheck,
    reportNow: () => session.tell({ kind: "report-now" }),
    answers: () => session.answers(answerMs),
    close: session.close,
  };
}

/** What a worker answers ends in the database and on terminals. */
const admitAnswers: Interceptor = (next) => async (request) => {
  const response = await next(request);
  const admit = (message: object) => admitForeign(request.method.output, message, { numbers: true });
  if (response.stream) return { ...response, message: admitAll(response.message, admit) };
  admit(response.message);
  return response;
};

async function* admitAll<T extends object>(messages: AsyncIterable<T>, admit: (message: T) => void): AsyncGenerator<T> {
  for await (const message of messages) {
    admit(message);
    yield message;
  }
}
