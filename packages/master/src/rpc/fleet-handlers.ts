import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { mergeStreams } from "@decnet/common/runtime/merge-streams";
import {
  type ApplyFleetRequest,
  ApplyFleetRequestSchema,
  DriftPolicy,
  type FleetService,
  LanDriver,
  MovePolicy,
  type Placement as PlacementMessage,
  RestoreRevisionRequestSchema,
  StreamLogsResponseSchema,
  TeardownDeckyRequestSchema,
  TeardownFleetRequestSchema,
} from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { toLogLine } from "@decnet/engine/wire/logs";
import { expandFleet, type WantedFleetInput } from "../decide/expand-fleet.ts";
import type { Placement } from "../decide/placement.ts";
import { diffServices, requirePresent, restoreServices } from "../model/services.ts";
import { listRows } from "../store/list-rows.ts";
import { Deckies, type DeckyRow, Revisions } from "../store/tables.ts";
import { awaitOperation } from "./await-operation.ts";
import { deckyConditions } from "./decky-filter.ts";
import { toChangeMessage, toDeckyMessage } from "./messages.ts";
import { common, hashRequest } from "./mutating-request.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseFilter, parseOptions, parsePage, parseRef, parseSlug, waits } from "./requests.ts";

export function createFleetHandlers(parts: MasterParts): ServiceImpl<typeof FleetService> {
  const { database, deckies, catalogue, hosts, stopping } = parts;
  const warningsOf = (row: DeckyRow) => (hosts.isReachable(row.host) ? hosts.link(row.host).warnings : []);
  /** A worker says what changed, and how long ago it looked: what it does not speak of is as it was. */
  const lastSeen = (row: DeckyRow, stored: Date | undefined): Date | undefined => {
    const looked = row.state === "changing" || row.state === "unknown" ? undefined : hosts.connected(row.host)?.lookedAt();
    return stored !== undefined && looked !== undefined && looked > stored ? looked : stored;
  };
  return {
    async applyFleet(request, context) {
      const fleet = expandFleet(parseFleet(request), catalogue);
      const actor = callerOf(context).name;
      const requestHash = hashRequest(parts, ApplyFleetRequestSchema, request);
      const record = await parts.fleet.apply({ actor, options: parseOptions(request.options), requestHash, fleet });
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
    async listDeckies(request) {
      const terms = parseFilter(request.filter, deckyConditions);
      const page = parsePage(request, 100);
      return database.read(async (tx) => {
        const query = tx
          .getRepository(Deckies)
          .createQueryBuilder("decky")
          .orderBy({ "decky.scope": "ASC", "decky.name": "ASC" });
        const { rows, counts, next } = await listRows(query, {
          terms,
          conditions: deckyConditions,
          page,
          countBy: "decky.state",
        });
        const [services, seenAt] = await Promise.all([deckies.desiredServices(tx, rows), deckies.seenAt(tx, rows)]);
        return {
          deckies: rows.map((row) =>
            toDeckyMessage(row, services.get(row.id) ?? [], lastSeen(row, seenAt.get(row.id)), catalogue, warningsOf(row)),
          ),
          counts,
          nextPageToken: next === undefined ? "" : String(next),
        };
      });
    },
    async getDecky(request) {
      const { scope, name } = parseRef(request.decky);
      return database.read(async (tx) => {
        const row = await deckies.find(tx, scope, name);
        const services = await deckies.services(tx, row, row.desiredRevision);
        const seenAt = (await deckies.seenAt(tx, [row])).get(row.id);
        return { decky: toDeckyMessage(row, services, lastSeen(row, seenAt), catalogue, warningsOf(row)) };
      });
    },
    async listRevisions(request) {
      const { scope, name } = parseRef(request.decky);
      const page = parsePage(request, 50);
      return database.read(async (tx) => {
        const decky = await deckies.find(tx, scope, name);
        const order = { number: "DESC" } as const;
        const numbers =
          request.revision === undefined
            ? (
                await tx
                  .getRepository(Revisions)
                  .find({ where: { deckyId: decky.id }, order, skip: page.offset, take: page.size, select: { number: true } })
              ).map((row) => row.number)
            : [request.revision];
        const revisions = [];
        for (const number of numbers) {
          const revision = await deckies.revision(tx, decky, number);
          const other = request.compareTo ?? number - 1;
          const before = other === 0 ? [] : (await deckies.revision(tx, decky, other)).services;
          revisions.push({
            number,
            createdAt: timestampFromDate(revision.createdAt),
            actor: revision.actor,
            reason: revision.reason,
            operation: revision.operationId,
            services: revision.services.map((service) => service.slug),
            changes: diffServices(before, revision.services, catalogue).map(toChangeMessage),
          });
        }
        const next = page.offset + revisions.length;
        const isMore = request.revision === undefined && revisions.length === page.size && next < decky.desiredRevision;
        return { revisions, nextPageToken: isMore ? String(next) : "" };
      });
    },
    async restoreRevision(request, context) {
      if (request.revision === 0) throw invalid([{ field: "revision", description: "is needed" }]);
      const slug = request.service === "" ? "" : parseSlug(request.service);
      const record = await parts.mutations.submit({
        kind: "restore_revision",
        service: slug,
        change: async (services, { revision }) => restoreServices(services, await revision(request.revision), slug),
        ...common(parts, RestoreRevisionRequestSchema, request, context),
      });
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
    async teardownDecky(request, context) {
      const change = common(parts, TeardownDeckyRequestSchema, request, context);
      const record = await parts.mutations.submit({
        kind: "teardown_decky",
        service: "",
        change: (services) => [...services],
        leaves: true,
        ...change,
      });
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
    async teardownFleet(request, context) {
      const requestHash = hashRequest(parts, TeardownFleetRequestSchema, request);
      const record = await parts.fleet.apply({
        actor: callerOf(context).name,
        options: parseOptions(request.options),
        requestHash,
        fleet: undefined,
      });
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
    async *streamLogs(request, context) {
      const { scope, name } = parseRef(request.decky);
      if (request.tail > 10_000) throw invalid([{ field: "tail", description: "is at most 10000" }]);
      const { row, slugs } = await database.read(async (tx) => {
        const found = await deckies.find(tx, scope, name);
        const services = await deckies.services(tx, found, found.desiredRevision);
        if (request.service !== "") requirePresent(services, request.service, name);
        return { row: found, slugs: request.service === "" ? services.map((service) => service.slug) : [request.service] };
      });
      const host = hosts.link(row.host);
      const signal = AbortSignal.any([context.signal, stopping]);
      const options = { tail: request.tail || 100, follow: request.follow, signal };
      for await (const entry of mergeStreams(slugs.map((slug) => host.logs({ scope, name }, slug, options))))
        yield create(StreamLogsResponseSchema, { lines: [toLogLine(entry)] });
    },
  };
}

const drivers = {
  [LanDriver.UNSPECIFIED]: "bridge",
  [LanDriver.BRIDGE]: "bridge",
  [LanDriver.MACVLAN]: "macvlan",
  [LanDriver.IPVLAN]: "ipvlan",
} as const;

function toPlacement(message: PlacementMessage | undefined): Placement | undefined {
  switch (message?.where.case) {
    case "host":
      return { kind: "host", name: message.where.value };
    case "labels":
      return { kind: "labels", labels: message.where.value.labels };
    case "balanced":
      return message.where.value ? { kind: "balanced" } : undefined;
    default:
      return undefined;
  }
}

function parseFleet({ fleet }: ApplyFleetRequest): WantedFleetInput {
  if (fleet?.lan === undefined) throw invalid([{ field: "fleet.lan", description: "is needed" }]);
  const driver = drivers[fleet.lan.driver];
  if (driver === undefined) throw invalid([{ field: "fleet.lan.driver", description: "is no known value" }]);
  if (!(fleet.movePolicy in MovePolicy)) throw invalid([{ field: "fleet.move_policy", description: "is no known value" }]);
  if (!(fleet.driftPolicy in DriftPolicy)) throw invalid([{ field: "fleet.drift_policy", description: "is no known value" }]);
  const { name, subnet, gateway, parent, ipStart } = fleet.lan;
  return {
    lan: { driver, name, subnet, gateway, parent, ipStart },
    driftPolicy: fleet.driftPolicy === DriftPolicy.REPORT ? "report" : "repair",
    defaultPlacement: toPlacement(fleet.defaultPlacement),
    movePolicy: fleet.movePolicy === MovePolicy.KEEP_OLD ? "keep_old" : "remove_first",
    deckies: fleet.deckies.map(({ placement, ...decky }) => ({
      ...decky,
      placement: toPlacement(placement),
      services: decky.services.map(({ slug, config }) => ({ slug, config })),
    })),
  };
}
