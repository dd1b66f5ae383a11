import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { type AuditEntry, Role, type Token } from "@decnet/contract/gen/decnet/v1/access_pb";
import type { JoinToken, RefusedJoin } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { age, table, visible, word } from "./layout.ts";

/** Tokens, joins and the audit trail as people read them. Pure. */

function day(at: Timestamp | undefined): string {
  return at === undefined ? "never" : timestampDate(at).toISOString().slice(0, 16).replace("T", " ");
}

/** Nothing for once, and for masters that do not count. */
function repeated(times: number): string {
  return times > 1 ? ` ×${times}` : "";
}

function isPast(at: Timestamp | undefined, now: number): boolean {
  return at !== undefined && Number(at.seconds) * 1_000 <= now;
}

export function formatTokens(tokens: readonly Token[], now: number): string {
  const state = (token: Token) =>
    token.revokedAt !== undefined ? "revoked" : isPast(token.expiresAt, now) ? "expired" : "valid";
  return table(
    ["ID", "NAME", "ROLE", "STATE", "EXPIRES", "LAST USED", "MADE BY"],
    tokens.map((token) => [
      token.id,
      visible(token.name),
      word(Role, token.role),
      state(token),
      day(token.expiresAt),
      token.lastUsedAt === undefined ? "never" : `${age(token.lastUsedAt, now)} ago`,
      visible(token.createdBy) || "-",
    ]),
  );
}

export function formatAudit(entries: readonly AuditEntry[]): string {
  if (entries.length === 0) return "nothing is recorded that fits";
  return table(
    ["AT", "WHO", "WHAT", "TARGET", "OUTCOME", "OPERATION", "FROM"],
    entries.map((entry) => [
      day(entry.at),
      visible(entry.actor) || "-",
      visible(entry.action.replace(/^decnet\.v1\./, "")),
      visible(entry.target) || "-",
      `${visible(entry.outcome)}${repeated(entry.times)}`,
      entry.operation || "-",
      visible(entry.peer) || "-",
    ]),
  );
}

export function formatJoinTokens(tokens: readonly JoinToken[], now: number): string {
  if (tokens.length === 0) return "no join tokens; make one: decnet host invite --name NAME";
  const state = (token: JoinToken) => {
    if (token.usedAt !== undefined) return "used";
    if (token.revokedAt !== undefined) return "revoked";
    return isPast(token.expiresAt, now) ? "expired" : "waiting";
  };
  return table(
    ["ID", "HOST", "STATE", "EXPIRES", "MADE", "MADE BY"],
    tokens.map((token) => [
      token.id,
      visible(token.hostName),
      state(token),
      day(token.expiresAt),
      `${age(token.createdAt, now)} ago`,
      visible(token.createdBy) || "-",
    ]),
  );
}

export function formatRefusedJoins(refused: readonly RefusedJoin[], now: number): string {
  if (refused.length === 0) return "no join was refused";
  return table(
    ["AGE", "HOST", "MACHINE", "FROM", "REASON", "WHY"],
    refused.map((each) => [
      age(each.at, now),
      visible(each.hostName) || "-",
      visible(each.machineName) || "-",
      visible(each.address) || "-",
      `${visible(each.reason)}${repeated(each.times)}`,
      visible(each.message),
    ]),
  );
}
