import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { admitForeign } from "@decnet/common/rpc/foreign-message";
import type { IncomingCall, Standing } from "@decnet/common/rpc/guard-calls";
import { kPeer } from "@decnet/common/rpc/peer";
import type { Admission } from "@decnet/common/rpc/server";
import type { Caller, Role } from "../model/access.ts";
import type { HostStore } from "../store/hosts.ts";
import type { TokenStore } from "../store/tokens.ts";
import type { AcceptedCertificates, AcceptedHost } from "./accepted-certificates.ts";
import { createAgentPace } from "./agent-pace.ts";
import type { OpenStreams } from "./open-streams.ts";
import { agentCalls, leastRole, masterCalls, mayCall, openServices } from "./roles.ts";

export const kCaller = createContextKey<Caller | undefined>(undefined, { description: "who calls" });

/** The worker that calls, for calls that agents make. */
export const kHost = createContextKey<AcceptedHost | undefined>(undefined, { description: "which host calls" });

/** The name of the worker whose certificate came with a call that is refused; for the record alone. */
export const kRefusedHost = createContextKey("", { description: "which host was refused" });

/** Why the call is refused, found out before its body was read. */
const kRefusal = createContextKey<{ readonly error: unknown } | undefined>(undefined, { description: "why it is refused" });

/** Of one token, so many connections come before those of strangers. */
export const connectionsOfToken = 512;

/** Looks at who calls by the header alone: a call that is refused costs no more than its header. */
export function createAdmission(
  tokens: Pick<TokenStore, "authenticate">,
  hosts: Pick<HostStore, "nameOf">,
  accepted: AcceptedCertificates,
): Admission {
  const note = async (values: ContextValues) => {
    const { certificate, expired } = values.get(kPeer);
    const identity = (certificate ?? expired)?.identity;
    if (identity?.role === "agent") values.set(kRefusedHost, await hosts.nameOf(identity.hostId));
  };
  const pace = createAgentPace();
  /** A worker that calls without a pause is refused before anything is looked at; one that goes on is cut. */
  const keepPace = ({ contextValues, connection }: IncomingCall) => {
    const { identity } = contextValues.get(kPeer).certificate ?? {};
    const turn = identity?.role === "agent" ? pace.take(identity.hostId) : "in";
    if (turn === "in") return;
    if (turn === "cut") connection.expel();
    throw new AppError("HOST_BUSY", "the worker calls more often than one has to", { retryAfterMs: 10_000 });
  };
  const refuse = (call: IncomingCall, error: unknown): "refused" => {
    call.contextValues.set(kRefusal, { error });
    return "refused";
  };
  const asAgent = async (needs: (typeof agentCalls)[string], call: IncomingCall): Promise<Standing> => {
    try {
      keepPace(call);
      await admitAgent(needs, call, accepted);
      return needs === "join token" ? "joiner" : "agent";
    } catch (error) {
      await note(call.contextValues);
      throw error;
    }
  };
  const asCaller = async (call: IncomingCall): Promise<Standing> => {
    const { method, header, contextValues, connection } = call;
    const secret = secretOf(header.get("authorization") ?? undefined);
    const caller = secret === undefined ? undefined : await tokens.authenticate(secret);
    if (caller === undefined) {
      await note(contextValues);
      throw new AppError(
        "UNAUTHENTICATED",
        secret === undefined ? "this call needs a bearer token" : "the token is unknown, expired or revoked",
      );
    }
    connection.prove(`token ${caller.tokenId}`, connectionsOfToken);
    admitCaller(contextValues, caller, method);
    return "caller";
  };
  const asMaster = (call: IncomingCall): Standing => {
    const { identity } = call.contextValues.get(kPeer).certificate ?? {};
    if (identity?.role === "master") return "caller";
    return refuse(call, new AppError("CERTIFICATE_REFUSED", "masters alone make this call, with a certificate of their own"));
  };
  const agentCallOf = (method: string) => agentCalls[method];
  const isOpen = (method: string) => openServices.has(method.split("/")[0] ?? "");
  return {
    kindOf: (method) => (isOpen(method) ? "anyone" : agentCallOf(method) === "join token" ? "joiner" : "proved"),
    async admit(call) {
      const { method } = call;
      if (isOpen(method)) return "anyone";
      if (masterCalls.has(method)) return asMaster(call);
      const needs = agentCallOf(method);
      return (needs === undefined ? asCaller(call) : asAgent(needs, call)).catch((error: unknown) => refuse(call, error));
    },
  };
}

/** The token in an Authorization header. */
export function secretOf(header: string | undefined): string | undefined {
  return /^Bearer\s+(\S{1,256})$/i.exec(header ?? "")?.[1];
}

/** Says of a call who makes it. Who is known may be heard, for the record, before he is refused. */
export function admitCaller(contextValues: ContextValues, caller: Caller, method: string): void {
  contextValues.set(kCaller, caller);
  const needed = leastRole[method];
  if (needed !== undefined && mayCall(caller.role, needed)) return;
  contextValues.set(kRefusal, { error: notAllowed(caller.role, needed ?? "admin", method) });
}

function notAllowed(role: Role, needed: Role, method: string): AppError {
  return new AppError("NOT_ALLOWED", `the role ${role} may not call ${method.split("/")[1]}`, { metadata: { needed, role } });
}

/** The gate: nothing passes that was not admitted, by the table of roles or the one of calls that agents make. */
export function createAuthInterceptor(streams: Pick<OpenStreams, "guard">): Interceptor {
  return (next) => async (request) => {
    const refusal = request.contextValues.get(kRefusal);
    if (refusal !== undefined) throw refusal.error;
    const method = `${request.service.typeName}/${request.method.name}`;
    if (openServices.has(request.service.typeName) || masterCalls.has(method)) return next(request);
    if (agentCalls[method] !== undefined) {
      if (!request.stream) admitForeign(request.method.input, request.message);
      return next(request);
    }
    const caller = request.contextValues.get(kCaller);
    const needed = leastRole[method];
    if (caller === undefined || needed === undefined) throw new AppError("UNAUTHENTICATED", "this call needs a bearer token");
    const response = await next(request);
    return response.stream ? { ...response, message: streams.guard(caller, needed, response.message) } : response;
  };
}

/** A join token is looked at by its handler; every other call of an agent needs a certificate of ours that is still accepted. */
async function admitAgent(
  needs: (typeof agentCalls)[string],
  request: Pick<IncomingCall, "contextValues" | "header">,
  accepted: AcceptedCertificates,
): Promise<void> {
  const peer = request.contextValues.get(kPeer);
  if (needs === "join token") {
    if (peer.transport !== "tls") throw new AppError("CERTIFICATE_REFUSED", "workers join over the master's TLS port");
    return;
  }
  if (request.header.has("authorization"))
    throw new AppError("NOT_ALLOWED", "agents make this call with their certificate; a token cannot", {
      metadata: { needed: "agent", role: "operator" },
    });
  const { certificate, certificateProblem, expired } = peer;
  if (expired !== undefined)
    throw new AppError("CERTIFICATE_REFUSED", `the certificate ended at ${expired.notAfter.toISOString()}`);
  if (certificate === undefined)
    throw new AppError(
      "CERTIFICATE_REFUSED",
      certificateProblem === undefined
        ? "this call needs an agent's certificate"
        : `the certificate is refused: ${certificateProblem}`,
    );
  const { identity, serial, notAfter } = certificate;
  if (identity?.role !== "agent") throw new AppError("CERTIFICATE_REFUSED", "the certificate is not an agent's");
  // A connection keeps its peer.
  const host = await accepted.accepts(peer, { hostId: identity.hostId, number: identity.number, serial, notAfter });
  if (host === undefined) throw new AppError("CERTIFICATE_REFUSED", "the certificate is revoked");
  request.contextValues.set(kHost, host);
}
