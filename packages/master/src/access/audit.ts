import { randomUUID } from "node:crypto";
import type { ContextValues, Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { EnrollmentService } from "@decnet/common/gen/decnet/v1/enrollment_pb";
import type { Logger } from "@decnet/common/logging/logger";
import { OperationFailed } from "@decnet/common/rpc/errors";
import { kPeer } from "@decnet/common/rpc/peer";
import type { Database } from "../persistence/database.ts";
import { Audit } from "../persistence/tables.ts";
import { insertRows } from "../persistence/write.ts";
import { kCaller, kHost } from "./authenticate.ts";
import { agentCalls, leastRole } from "./roles.ts";

/** Puts every changing call on record, refused ones too: who, what, on what, with which end. Requests themselves are not kept: they may hold secrets. */
export function createAuditInterceptor(database: Database, log: Logger): Interceptor {
  return (next) => async (request) => {
    const action = `${request.service.typeName}/${request.method.name}`;
    const needed = leastRole[action];
    const isAgents = agentCalls[action] !== undefined;
    const isRead = !isAgents && (needed === undefined || needed === "viewer" || /^List/.test(request.method.name));
    if (isRead || (request.stream && !isBatch(request))) return next(request);
    const record = async (outcome: string, operationId: string) => {
      const row = {
        id: randomUUID(),
        at: new Date(),
        actor: request.contextValues.get(kCaller)?.name ?? hostName(request.contextValues),
        action,
        target: targetOf(request.message) || (/Fleet$/.test(request.method.name) ? "fleet" : ""),
        outcome,
        operationId,
        reason: reasonOf(request.message),
        peer: [request.contextValues.get(kPeer).address, request.header.get("user-agent") ?? ""].join(" ").trim().slice(0, 200),
      };
      await database
        .read((tx) => insertRows(tx, Audit, [row]))
        .catch((error: unknown) => log.error("an audit entry was not written", { ...row, err: error }));
    };
    try {
      const response = await next(request);
      // What agents do all the time is no news; joining and renewing is.
      if (!isAgents || request.service.typeName === EnrollmentService.typeName)
        await record("accepted", operationOf(response.message));
      return response;
    } catch (error) {
      if (isAgents || !(error instanceof AppError && error.reason === "UNAUTHENTICATED"))
        await record(
          error instanceof AppError ? error.reason : "INTERNAL",
          error instanceof OperationFailed ? error.operation.id : "",
        );
      throw error;
    }
  };
}

function isBatch(request: { readonly method: { readonly name: string } }): boolean {
  return request.method.name === "BatchMutate";
}

/** The host that a certificate names, refused or not. */
function hostName(values: ContextValues): string {
  const identity = values.get(kPeer).certificate?.identity;
  const name = values.get(kHost)?.name ?? (identity?.role === "agent" ? identity.hostId : "");
  return name === "" ? "" : `host ${name}`;
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && key in value ? (value as Record<string, unknown>)[key] : undefined;
}

const visible = (value: unknown): string =>
  typeof value === "string" ? value.replaceAll(/[\u0000-\u001f\u007f]/g, "?").slice(0, 200) : "";

function targetOf(request: unknown): string {
  const decky = visible(field(field(request, "decky"), "name"));
  const service = visible(field(request, "service"));
  return decky === ""
    ? visible(field(request, "id")) || visible(field(request, "name"))
    : service === ""
      ? decky
      : `${decky}/${service}`;
}

function reasonOf(request: unknown): string {
  return visible(field(field(request, "options"), "reason"));
}

function operationOf(response: unknown): string {
  return visible(field(field(response, "operation"), "id"));
}
