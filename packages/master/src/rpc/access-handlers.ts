import { durationMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type AccessService, Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import type { Role as RoleWord, Token } from "../model/access.ts";
import { auditFilter, parseFilter } from "./filters.ts";
import { createPageTokens } from "./page-tokens.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseId } from "./requests.ts";

const roles = { viewer: Role.VIEWER, operator: Role.OPERATOR, admin: Role.ADMIN } as const satisfies Record<RoleWord, Role>;
const roleWords: Partial<Record<Role, RoleWord>> = {
  [Role.VIEWER]: "viewer",
  [Role.OPERATOR]: "operator",
  [Role.ADMIN]: "admin",
};
const maxTtlMs = 10 * 365 * 86_400_000;

export function createAccessHandlers({
  store: { tokens, audit },
  version,
  fingerprint,
  hosts,
  knownMasters,
}: MasterParts): ServiceImpl<typeof AccessService> {
  return {
    whoAmI(_, context) {
      const caller = callerOf(context);
      return {
        name: caller.name,
        role: roles[caller.role],
        tokenId: caller.tokenId,
        serverVersion: version,
        serverTime: timestampFromDate(new Date()),
        hostName: hosts.own,
        masters: knownMasters().map(({ host, addresses, isThere }) => ({ hostName: host, addresses: [...addresses], isThere })),
      };
    },
    async createToken(request, context) {
      const role = roleWords[request.role];
      if (role === undefined) throw invalid([{ field: "role", description: "must be ROLE_VIEWER, ROLE_OPERATOR or ROLE_ADMIN" }]);
      if (!/^[\w.@ -]{1,64}$/.test(request.name))
        throw invalid([{ field: "name", description: "1 to 64 letters, digits, spaces and . _ @ -" }]);
      const ttlMs = request.ttl === undefined ? undefined : durationMs(request.ttl);
      if (ttlMs !== undefined && (ttlMs < 1_000 || ttlMs > maxTtlMs))
        throw invalid([{ field: "ttl", description: "is from one second to ten years" }]);
      const { row, secret } = await tokens.create({ name: request.name, role, createdBy: callerOf(context).name, ttlMs });
      return { token: toToken(row), secret };
    },
    listTokens: async () => ({ tokens: (await tokens.list()).map(toToken) }),
    revokeToken: async ({ id }) => ({ token: toToken(await tokens.revoke(parseId(id))) }),
    async listAudit(request) {
      const terms = parseFilter(request.filter, auditFilter);
      const pages = createPageTokens(fingerprint, "audit", terms);
      const { rows, next } = await audit.list({ terms, page: pages.parse(request, 100) });
      const entries = rows.map(({ operationId, at, ...row }) => ({ ...row, operation: operationId, at: timestampFromDate(at) }));
      return { entries, nextPageToken: pages.make(next) };
    },
  };
}

function toToken(row: Token) {
  const time = (date: Date | null) => (date === null ? {} : timestampFromDate(date));
  return {
    id: row.id,
    name: row.name,
    role: roles[row.role],
    createdAt: timestampFromDate(row.createdAt),
    createdBy: row.createdBy,
    ...(row.expiresAt === null ? {} : { expiresAt: time(row.expiresAt) }),
    ...(row.revokedAt === null ? {} : { revokedAt: time(row.revokedAt) }),
    ...(row.lastUsedAt === null ? {} : { lastUsedAt: time(row.lastUsedAt) }),
  };
}
