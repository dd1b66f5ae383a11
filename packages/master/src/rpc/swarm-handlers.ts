import { fromJson, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import {
  DecommissionHostRequestSchema,
  DrainHostRequestSchema,
  type HostSchema,
  HostState,
  RemoveOrphansRequestSchema,
  type SwarmService,
} from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { ageWarnings, type Host, type HostState as HostStateWord, hostStateOf } from "../model/host.ts";
import type { HostCounts } from "../store/host-deckies.ts";
import { awaitOperation } from "./await-operation.ts";
import { type FilterKeys, parseFilter } from "./filters.ts";
import { createJoinHandlers } from "./join-handlers.ts";
import { matchesTerms } from "./match-terms.ts";
import { hashRequest } from "./mutating-request.ts";
import { createPageTokens, pageOf } from "./page-tokens.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, parseOptions, waits } from "./requests.ts";

const states = {
  enrolled: HostState.ENROLLED,
  connected: HostState.CONNECTED,
  unreachable: HostState.UNREACHABLE,
  decommissioned: HostState.DECOMMISSIONED,
} as const satisfies Record<HostStateWord, HostState>;

const hostFilter: FilterKeys = {
  name: undefined,
  state: { prefix: "HOST_STATE", words: Object.keys(states) },
  draining: { prefix: "", words: ["true", "false"] },
  label: undefined,
};

const mostOrphans = 1_000;

export function createSwarmHandlers(parts: MasterParts): ServiceImpl<typeof SwarmService> {
  const { store, hosts, swarm } = parts;
  const toHost = (row: Host, counted: ReadonlyMap<string, HostCounts>) => toHostMessage(row, counted.get(row.name), hosts);
  const getHost = async (name: string) => toHost(await store.hosts.find(name), await store.deckies.countByHost());
  return {
    ...createJoinHandlers(parts),
    async listHosts(request) {
      const terms = parseFilter(request.filter, hostFilter);
      const pages = createPageTokens(parts.fingerprint, "hosts", terms);
      const page = pages.parse(request, 100);
      const rows = await store.hosts.listAll();
      const fitting = rows.filter((row) => {
        const state = hostStateOf(row, hosts.isReachable(row.name));
        // Decommissioned hosts are shown to those who ask for them.
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
        const state = hostStateOf(row, hosts.isReachable(row.name));
        counts[state] = (counts[state] ?? 0) + 1;
      }
      const counted = await store.deckies.countByHost();
      const { rows: onPage, next } = pageOf(fitting, page, ({ name, id }) => [name, id]);
      const info = await store.hosts.agentInfoOf(onPage.map(({ id }) => id));
      return {
        hosts: onPage.map((row) => toHost({ ...row, agentInfo: info.get(row.id) ?? null }, counted)),
        counts,
        nextPageToken: pages.make(next),
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
      const row = await store.hosts.findLast(request.name);
      return { operation, ...(row === undefined ? {} : { host: toHost(row, await store.deckies.countByHost()) }) };
    },
    async listOrphans({ name, installation }) {
      const { orphans, others, unseen } = await swarm.orphans.list(name, installation);
      const shown = orphans.slice(0, mostOrphans).map(({ key, kind, name: called, installation: of, reason }) => {
        return { key, kind, name: called, installation: of, reason };
      });
      return {
        orphans: shown,
        leftOut: orphans.length - shown.length,
        others: others.slice(0, mostOrphans).map(({ isKept, ...other }) => ({ ...other, kept: isKept })),
        unseen: [...unseen],
      };
    },
    async removeOrphans(request, context) {
      const record = await swarm.orphans.remove({
        name: request.name,
        installation: request.installation,
        keys: request.keys,
        actor: callerOf(context).name,
        options: parseOptions(request.options),
        requestHash: hashRequest(parts, RemoveOrphansRequestSchema, request),
      });
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
  };
}

function toHostMessage(
  row: Host,
  deckies: HostCounts | undefined,
  hosts: MasterParts["hosts"],
): MessageInitShape<typeof HostSchema> {
  const connection = hosts.connected(row.name) ?? hosts.heldBy(row.name);
  const seen = connection === undefined ? (hosts.lostAt(row.name) ?? row.lastSeen) : new Date();
  const facts =
    row.agentInfo === null ? undefined : fromJson(AgentFactsSchema, row.agentInfo as JsonObject, { ignoreUnknownFields: true });
  return {
    id: row.id,
    name: row.name,
    state: states[hostStateOf(row, connection !== undefined)],
    draining: row.draining,
    labels: row.labels,
    ...(seen === null ? {} : { lastSeen: timestampFromDate(seen) }),
    enrolledAt: timestampFromDate(row.enrolledAt),
    certificateExpiresAt: timestampFromDate(row.certificateExpiresAt),
    certificateSerial: row.certificateSerial,
    ...(facts === undefined ? {} : { facts }),
    deckies: { ...deckies?.states },
    address: connection?.address ?? row.address,
    message: row.engineProblem === "" ? row.message : `its engine does not answer: ${row.engineProblem}`,
    warnings: [...(facts?.warnings ?? []), ...ageWarnings(row)],
    ...(connection === undefined ? {} : { connectedSince: timestampFromDate(connection.since) }),
    waitingOperations: deckies?.waiting ?? 0,
  };
}
