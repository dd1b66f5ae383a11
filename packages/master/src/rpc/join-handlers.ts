import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import type { JoinTokenSchema, SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { JoinToken } from "../model/host.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseId } from "./requests.ts";

const usualTtlMs = 30 * 60_000;
const maxTtlMs = 7 * 86_400_000;
const hostPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

type JoinHandlers = Pick<
  ServiceImpl<typeof SwarmService>,
  "createJoinToken" | "listJoinTokens" | "revokeJoinToken" | "listRefusedJoins"
>;

/** How workers are let in. */
export function createJoinHandlers({ store, hosts, swarm }: MasterParts): JoinHandlers {
  return {
    async createJoinToken(request, context) {
      if (!hostPattern.test(request.hostName) || request.hostName === "local" || hosts.isMasters(request.hostName))
        throw invalid([
          {
            field: "host_name",
            description: "lower-case letters, digits and inner hyphens, 1 to 63, and no master's own host such as `local`",
          },
        ]);
      const ttlMs = request.ttl === undefined ? usualTtlMs : durationMs(request.ttl);
      if (ttlMs < 10_000 || ttlMs > maxTtlMs) throw invalid([{ field: "ttl", description: "is from 10 seconds to 7 days" }]);
      const bad = request.masters.find((master) => !/^[\w.:[\]-]{1,255}:\d{1,5}$/.test(master));
      if (bad !== undefined || request.masters.length > 16)
        throw invalid([{ field: "masters", description: "host:port, at most 16" }]);
      const labels = Object.entries(request.labels);
      if (labels.length > 32 || labels.some((pair) => pair.some((text) => !/^[\w./-]{1,63}$/.test(text))))
        throw invalid([{ field: "labels", description: "at most 32; letters, digits and . _ / - up to 63" }]);
      if (hosts.isReachable(request.hostName))
        throw new AppError("HOST_EXISTS", `a worker is connected as ${request.hostName} already`, {
          metadata: { host: request.hostName },
        });
      const masters = request.masters.length > 0 ? request.masters : swarm.addresses();
      if (masters.length === 0) throw new AppError("SWARM_OFF", "this master does not listen for workers", { metadata: {} });
      const { row, secret } = await store.joinTokens.create({
        hostName: request.hostName,
        labels: request.labels,
        createdBy: callerOf(context).name,
        ttlMs,
        masters,
        caHash: swarm.caHash,
      });
      return { token: toJoinToken(row), secret, masters: [...masters] };
    },
    listJoinTokens: async () => ({ tokens: (await store.joinTokens.list()).map(toJoinToken) }),
    revokeJoinToken: async ({ id }) => ({ token: toJoinToken(await store.joinTokens.revoke(parseId(id))) }),
    async listRefusedJoins(request) {
      const rows = await swarm.enrollment.refused(request.pageSize || 100);
      return { refused: rows.map(({ at, id: _, ...row }) => ({ ...row, at: timestampFromDate(at) })) };
    },
  };
}

function toJoinToken(row: JoinToken): MessageInitShape<typeof JoinTokenSchema> {
  return {
    id: row.id,
    hostName: row.hostName,
    createdAt: timestampFromDate(row.createdAt),
    createdBy: row.createdBy,
    expiresAt: timestampFromDate(row.expiresAt),
    ...(row.usedAt === null ? {} : { usedAt: timestampFromDate(row.usedAt) }),
    ...(row.revokedAt === null ? {} : { revokedAt: timestampFromDate(row.revokedAt) }),
    hostId: row.hostId ?? "",
    labels: row.labels,
  };
}
