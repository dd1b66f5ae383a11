import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { kPeer } from "@decnet/common/rpc/peer";
import { cleanTexts } from "@decnet/common/runtime/foreign-text";
import type { Caller } from "../model/access.ts";
import type { HostStore } from "../store/hosts.ts";
import type { TokenStore } from "../store/tokens.ts";
import type { AcceptedCertificates, AcceptedHost } from "./accepted-certificates.ts";
import type { OpenStreams } from "./open-streams.ts";
import { agentCalls, leastRole, mayCall, openServices } from "./roles.ts";

type Hosts = Pick<HostStore, "nameOf">;

export const kCaller = createContextKey<Caller | undefined>(undefined, { description: "who calls" });

/** The worker that calls, for calls that agents make. */
export const kHost = createContextKey<AcceptedHost | undefined>(undefined, { description: "which host calls" });

/** The name of the worker whose certificate came with a call that is refused; for the record alone. */
export const kRefusedHost = createContextKey("", { description: "which host was refused" });

/** The gate: nothing passes that is not in the table of roles, or in the one of calls that agents make. */
export function createAuthInterceptor(
  tokens: Pick<TokenStore, "authenticate">,
  hosts: Hosts,
  accepted: AcceptedCertificates,
  streams: Pick<OpenStreams, "guard">,
): Interceptor {
  const note = async (request: { readonly contextValues: ContextValues }) => {
    const { certificate, expired } = request.contextValues.get(kPeer);
    const identity = (certificate ?? expired)?.identity;
    if (identity?.role === "agent") request.contextValues.set(kRefusedHost, await hosts.nameOf(identity.hostId));
  };
  return (next) => async (request) => {
    if (openServices.has(request.service.typeName)) return next(request);
    const agentCall = agentCalls[`${request.service.typeName}/${request.method.name}`];
    if (agentCall !== undefined) {
      try {
        await admitAgent(agentCall, request, accepted);
      } catch (error) {
        await note(request);
        throw error;
      }
      cleanTexts(request.message);
      return next(request);
    }
    const header = request.header.get("authorization") ?? "";
    const secret = /^Bearer\s+(\S{1,256})$/i.exec(header)?.[1];
    const caller = secret === undefined ? undefined : await tokens.authenticate(secret);
    if (caller === undefined) {
      await note(request);
      throw new AppError(
        "UNAUTHENTICATED",
        secret === undefined ? "this call needs a bearer token" : "the token is unknown, expired or revoked",
      );
    }
    const needed = leastRole[`${request.service.typeName}/${request.method.name}`];
    request.contextValues.set(kCaller, caller);
    if (needed === undefined || !mayCall(caller.role, needed))
      throw new AppError("NOT_ALLOWED", `the role ${caller.role} may not call ${request.method.name}`, {
        metadata: { needed: needed ?? "admin", role: caller.role },
      });
    const response = await next(request);
    return response.stream ? { ...response, message: streams.guard(caller, needed, response.message) } : response;
  };
}

/** A join token is looked at by its handler; every other call of an agent needs a certificate of ours that is still accepted. */
async function admitAgent(
  needs: (typeof agentCalls)[string],
  request: { readonly contextValues: ContextValues; readonly header: Headers },
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
