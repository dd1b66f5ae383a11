import { randomUUID } from "node:crypto";
import type { ContextValues, Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { OperationFailed } from "@decnet/common/rpc/errors";
import { kPeer } from "@decnet/common/rpc/peer";
import { EnrollmentService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { Database } from "../store/database.ts";
import { Audit, type AuditRow } from "../store/tables.ts";
import { insertRows } from "../store/write.ts";
import { kCaller, kHost, kRefusedHost } from "./authenticate.ts";
import { agentCalls, leastRole } from "./roles.ts";

export interface AuditLog {
  /** Never fails: what cannot be written is in the log. */
  record(entry: Omit<AuditRow, "id" | "at">): Promise<void>;
  /** For what anyone who reaches the port can cause: the same again within a minute is not written again. */
  recordOnce(entry: Omit<AuditRow, "id" | "at">): Promise<void>;
}

const repeatMs = 60_000;
const mostRemembered = 10_000;

export function createAuditLog(database: Database, log: Logger): AuditLog {
  const seen = new Map<string, number>();
  const record: AuditLog["record"] = async (entry) => {
    const row = { id: randomUUID(), at: new Date(), ...entry };
    await database
      .read((tx) => insertRows(tx, Audit, [row]))
      .catch((error: unknown) => log.error("an audit entry was not written", { ...row, err: error }));
  };
  return {
    record,
    async recordOnce(entry) {
      const key = JSON.stringify(entry);
      if (Date.now() - (seen.get(key) ?? 0) < repeatMs) return;
      if (seen.size >= mostRemembered) seen.clear();
      seen.set(key, Date.now());
      await record(entry);
    },
  };
}

/** Puts every changing call on record, refused ones too: who, what, on what, with which end. Requests themselves are not kept: they may hold secrets. */
export function createAuditInterceptor(audit: AuditLog): Interceptor {
  return (next) => async (request) => {
    const action = `${request.service.typeName}/${request.method.name}`;
    const needed = leastRole[action];
    const isAgents = agentCalls[action] !== undefined;
    const isRead = !isAgents && (needed === undefined || needed === "viewer" || /^List/.test(request.method.name));
    if (isRead || (request.stream && !isBatch(request))) return next(request);
    const record = async (outcome: string, operationId: string) => {
      await audit[isAgents && outcome !== "accepted" ? "recordOnce" : "record"]({
        actor: request.contextValues.get(kCaller)?.name ?? hostName(request.contextValues),
        action,
        target: targetOf(request.message) || (/Fleet$/.test(request.method.name) ? "fleet" : ""),
        outcome,
        operationId,
        reason: reasonOf(request.message),
        peer: [request.contextValues.get(kPeer).address, request.header.get("user-agent") ?? ""].join(" ").trim().slice(0, 200),
      });
    };
    try {
      const response = await next(request);
      // What agents do all the time is no news; joining and renewing is.
      if (!isAgents || request.service.typeName === EnrollmentService.typeName)
        await record("accepted", operationOf(response.message));
      return response;
    } catch (error) {
      const isAnonymous = request.contextValues.get(kRefusedHost) === "";
      if (isAgents || !isAnonymous || !(error instanceof AppError && error.reason === "UNAUTHENTICATED"))
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
  const name = values.get(kHost)?.name ?? values.get(kRefusedHost);
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
    ? (["id", "name", "tokenId", "hostName"].map((key) => visible(field(request, key))).find((text) => text !== "") ?? "")
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
