import { fromJson, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import {
  DecommissionHostRequestSchema,
  DrainHostRequestSchema,
  type HostSchema,
  HostState,
  type JoinTokenSchema,
  type SwarmService,
} from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { HostStateWord } from "../model/host-events.ts";
import { type HostRow, Hosts, type JoinTokenRow } from "../store/tables.ts";
import { awaitOperation } from "./await-operation.ts";
import { matchesTerms } from "./match-terms.ts";
import { hashRequest } from "./mutating-request.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseFilter, parseId, parseOptions, parsePage, waits } from "./requests.ts";

const states = {
  enrolled: HostState.ENROLLED,
  connected: HostState.CONNECTED,
  unreachable: HostState.UNREACHABLE,
  decommissioned: HostState.DECOMMISSIONED,
} as const satisfies Record<HostStateWord, HostState>;

const usualTtlMs = 30 * 60_000;
const maxTtlMs = 7 * 86_400_000;
const hostPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function createSwarmHandlers(parts: MasterParts): ServiceImpl<typeof SwarmService> {
  const { database, hosts, hostStore, swarm } = parts;

  const countDeckies = async (): Promise<Map<string, { states: Record<string, number>; waiting: number }>> => {
    const rows: { host: string; state: string; count: string; waiting: string }[] = await database.read((tx) =>
      tx.query(
        `SELECT decky.host, decky.state, count(*) AS count, sum((SELECT count(*) FROM operations
           WHERE decky_id = decky.id AND operations.state IN ('pending', 'running'))) AS waiting
         FROM deckies AS decky GROUP BY decky.host, decky.state`,
      ),
    );
    const counted = new Map<string, { states: Record<string, number>; waiting: number }>();
    for (const { host, state, count, waiting } of rows) {
      const entry = counted.get(host) ?? { states: {}, waiting: 0 };
      counted.set(host, { states: { ...entry.states, [state]: Number(count) }, waiting: entry.waiting + Number(waiting) });
    }
    return counted;
  };

  const toHost = (row: HostRow, counted: Awaited<ReturnType<typeof countDeckies>>): MessageInitShape<typeof HostSchema> => {
    const connection = hosts.connected(row.name);
    const lost = hosts.lostAt(row.name);
    const seen = connection === undefined ? (lost ?? row.lastSeen) : new Date();
    const deckies = counted.get(row.name);
    const facts =
      row.facts === null ? undefined : fromJson(AgentFactsSchema, row.facts as JsonObject, { ignoreUnknownFields: true });
    const state = stateOf(row, connection !== undefined);
    return {
      id: row.id,
      name: row.name,
      state: states[state],
      draining: row.draining,
      labels: row.labels,
      ...(seen === null ? {} : { lastSeen: timestampFromDate(seen) }),
      enrolledAt: timestampFromDate(row.enrolledAt),
      certificateExpiresAt: timestampFromDate(row.certificateExpiresAt),
      certificateSerial: row.certificateSerials[0] ?? "",
      ...(facts === undefined ? {} : { facts }),
      deckies: deckies?.states ?? {},
      address: connection?.address ?? row.address,
      message: row.engineProblem === "" ? row.message : `its engine does not answer: ${row.engineProblem}`,
      warnings: facts?.warnings ?? [],
      ...(connection === undefined ? {} : { connectedSince: timestampFromDate(connection.since) }),
      waitingOperations: deckies?.waiting ?? 0,
    };
  };

  const getHost = async (name: string) => toHost(await database.read((tx) => hostStore.find(tx, name)), await countDeckies());

  return {
    async createJoinToken(request, context) {
      if (!hostPattern.test(request.hostName) || request.hostName === "local")
        throw invalid([
          { field: "host_name", description: "lower-case letters, digits and inner hyphens, 1 to 63, not `local`" },
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
      const { row, secret } = await swarm.tokens.create({
        hostName: request.hostName,
        labels: request.labels,
        createdBy: callerOf(context).name,
        ttlMs,
        masters,
        caHash: swarm.caHash,
      });
      return { token: toJoinToken(row), secret, masters: [...masters] };
    },
    listJoinTokens: async () => ({ tokens: (await swarm.tokens.list()).map(toJoinToken) }),
    revokeJoinToken: async ({ id }) => ({ token: toJoinToken(await swarm.tokens.revoke(parseId(id))) }),
    async listRefusedJoins(request) {
      const { size } = parsePage({ pageSize: request.pageSize, pageToken: "" }, 100);
      const rows = await swarm.enrollment.refused(size);
      return { refused: rows.map(({ at, id: _, ...row }) => ({ ...row, at: timestampFromDate(at) })) };
    },
    async listHosts(request) {
      const terms = parseFilter(request.filter, { name: true, state: true, draining: true, label: true });
      const page = parsePage(request, 100);
      const rows = await database.read((tx) => tx.getRepository(Hosts).find({ order: { name: "ASC", enrolledAt: "ASC" } }));
      const fitting = rows.filter((row) => {
        const state = stateOf(row, hosts.connected(row.name) !== undefined);
        // Decommissioned hosts are shown to whoever asks for them.
        if (state === "decommissioned" && !terms.some(({ key, negated }) => key === "state" && !negated)) return false;
        return matchesTerms(terms, {
          name: [row.name],
          state: [state],
          draining: [String(row.draining)],
          label: Object.entries(row.labels).map(([key, value]) => `${key}:${value}`),
        });
      });
      const counts: Record<string, number> = {};
      for (const row of fitting) {
        const state = stateOf(row, hosts.connected(row.name) !== undefined);
        counts[state] = (counts[state] ?? 0) + 1;
      }
      const counted = await countDeckies();
      const shown = fitting.slice(page.offset, page.offset + page.size);
      const next = page.offset + shown.length;
      return {
        hosts: shown.map((row) => toHost(row, counted)),
        counts,
        nextPageToken: next < fitting.length ? String(next) : "",
      };
    },
    getHost: async ({ name }) => ({ host: await getHost(name) }),
    async drainHost(request, context) {
      const record = await swarm.changes.drain({
        name: request.name,
        actor: callerOf(context).name,
        options: parseOptions(request.options),
        requestHash: hashRequest(parts, DrainHostRequestSchema, request),
      });
      return {
        operation: await awaitOperation(record, waits(request.options), parts, context),
        host: await getHost(request.name),
      };
    },
    async activateHost({ name }) {
      await swarm.changes.activate(name);
      return { host: await getHost(name) };
    },
    async decommissionHost(request, context) {
      const record = await swarm.changes.decommission({
        name: request.name,
        actor: callerOf(context).name,
        options: parseOptions(request.options),
        requestHash: hashRequest(parts, DecommissionHostRequestSchema, request),
        force: request.force,
      });
      const operation = await awaitOperation(record, waits(request.options), parts, context);
      const row = await database.read((tx) =>
        tx.getRepository(Hosts).findOne({ where: { name: request.name }, order: { enrolledAt: "DESC" } }),
      );
      return { operation, ...(row === null ? {} : { host: toHost(row, await countDeckies()) }) };
    },
  };
}

function stateOf(row: HostRow, isConnected: boolean): HostStateWord {
  if (row.decommissionedAt !== null) return "decommissioned";
  if (isConnected) return "connected";
  return row.lastSeen === null ? "enrolled" : "unreachable";
}

function toJoinToken(row: JoinTokenRow): MessageInitShape<typeof JoinTokenSchema> {
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
