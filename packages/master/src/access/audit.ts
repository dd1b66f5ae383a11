import { randomUUID } from "node:crypto";
import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { OperationFailed } from "@decnet/common/rpc/errors";
import { kPeer } from "@decnet/common/rpc/peer";
import { cleanLine } from "@decnet/common/runtime/foreign-text";
import { EnrollmentService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { AuditTicket } from "../model/access.ts";
import type { AuditDraft, AuditLog } from "../store/audit.ts";
import { kCaller, kHost, kRefusedHost } from "./authenticate.ts";
import { agentCalls, leastRole } from "./roles.ts";

/** The entry of a call that changes something, for the change to be stored with. */
export const kAudit = createContextKey<AuditTicket | undefined>(undefined, { description: "audit entry of the call" });

/**
 * Puts every changing call on record, refused ones too: who, what, on what, with which end. Requests themselves are not kept:
 * they may hold secrets.
 */
export function createAuditInterceptor(audit: AuditLog): Interceptor {
  return (next) => async (request) => {
    const action = `${request.service.typeName}/${request.method.name}`;
    const needed = leastRole[action];
    const isAgents = agentCalls[action] !== undefined;
    const isRead = !isAgents && (needed === undefined || needed === "viewer" || /^List/.test(request.method.name));
    if (isRead || (request.stream && !isBatch(request))) return next(request);
    const { address } = request.contextValues.get(kPeer);
    const entry = (outcome: string, operationId: string): AuditDraft => ({
      actor: callerName(request.contextValues),
      action,
      target: targetOf(request.message) || (/Fleet$/.test(request.method.name) ? "fleet" : ""),
      outcome,
      operationId,
      reason: reasonOf(request.message),
      peer: visible([address, request.header.get("user-agent") ?? ""].join(" ").trim()),
    });
    const id = randomUUID();
    // Who calls is known only further in: the entry is made when it is asked for.
    const ticket: AuditTicket = {
      isStored: false,
      entryFor: (operationId) => ({ ...entry("accepted", operationId), id, at: new Date(), times: 1 }),
    };
    request.contextValues.set(kAudit, ticket);
    try {
      const response = await next(request);
      // What agents do all the time is no news; joining and renewing is.
      const isNews = !isAgents || request.service.typeName === EnrollmentService.typeName;
      if (isNews && !ticket.isStored)
        await audit[isDryRun(request.message) ? "recordOften" : "record"](entry("accepted", operationOf(response.message)));
      return response;
    } catch (error) {
      await recordFailure(error, request.contextValues.get(kRefusedHost) === "");
      throw error;
    }

    async function recordFailure(error: unknown, isAnonymous: boolean): Promise<void> {
      const outcome = error instanceof AppError ? error.reason : "INTERNAL";
      if (ticket.isStored) return audit.setOutcome(id, outcome);
      if (!isAgents && isAnonymous && outcome === "UNAUTHENTICATED") return;
      const failed = entry(outcome, error instanceof OperationFailed ? error.operation.id : "");
      const isKnown = request.contextValues.get(kCaller) !== undefined;
      if (failed.operationId !== "") await audit.record(failed);
      else if (isKnown) await audit.recordOften(failed);
      else await audit.recordStranger(address, failed);
    }
  };
}

function isDryRun(request: unknown): boolean {
  return field(field(request, "options"), "dryRun") === true;
}

function isBatch(request: { readonly method: { readonly name: string } }): boolean {
  return request.method.name === "BatchMutate";
}

/** Who calls: the name of a token, or `host edge-1`; empty for somebody unknown. */
export function callerName(values: ContextValues): string {
  return values.get(kCaller)?.name ?? hostName(values);
}

/** The host that a certificate names, refused or not. */
function hostName(values: ContextValues): string {
  const name = values.get(kHost)?.name ?? values.get(kRefusedHost);
  return name === "" ? "" : `host ${name}`;
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && key in value ? (value as Record<string, unknown>)[key] : undefined;
}

const visible = (value: unknown): string => (typeof value === "string" ? cleanLine(value, 200) : "");

/** `web-01/ssh`, `corp/web-01/ssh` in a topology, `corp/dmz` for a LAN of it; otherwise what has a name or an id. */
function targetOf(request: unknown): string {
  const ref = field(request, "decky");
  const decky = [visible(field(ref, "topology")) || visible(field(ref, "topologyId")), visible(field(ref, "name"))]
    .filter((part) => part !== "")
    .join("/");
  const service = visible(field(request, "service"));
  const topology = visible(field(request, "topology"));
  if (topology !== "") return [topology, visible(field(request, "name"))].filter((part) => part !== "").join("/");
  return decky === ""
    ? (["id", "name", "tokenId", "hostName"].map((key) => visible(field(request, key))).find((text) => text !== "") ?? "")
    : service === ""
      ? decky
      : `${decky}/${service}`;
}

function reasonOf(request: unknown): string {
  return visible(field(field(request, "options"), "reason")) || visible(field(request, "reason"));
}

function operationOf(response: unknown): string {
  return visible(field(field(response, "operation"), "id"));
}
