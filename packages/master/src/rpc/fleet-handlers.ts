import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { mergeStreams } from "@decnet/common/runtime/merge-streams";
import { inSlices, turn } from "@decnet/common/runtime/slices";
import {
  ApplyFleetRequestSchema,
  type FleetService,
  RestoreRevisionRequestSchema,
  RotateDeckyRequestSchema,
  StreamLogsResponseSchema,
  TeardownDeckyRequestSchema,
  TeardownFleetRequestSchema,
} from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { toLogLine } from "@decnet/engine/wire/logs";
import { expandFleet } from "../decide/expand-fleet.ts";
import { diffServices, refuseInvalid, requirePresent, requireRestorable, restoreServices } from "../model/services.ts";
import { awaitOperation } from "./await-operation.ts";
import { createDeckyMessages } from "./decky-messages.ts";
import { deckyFilter, parseFilter } from "./filters.ts";
import { toWantedFleet } from "./fleet-export.ts";
import { parseFleet } from "./fleet-input.ts";
import { toChangeMessage } from "./messages.ts";
import { common, hashRequest, knownRef } from "./mutating-request.ts";
import { createPageTokens } from "./page-tokens.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid, parseOptions, parseRef, parseSlug, waits } from "./requests.ts";

export function createFleetHandlers(parts: MasterParts): ServiceImpl<typeof FleetService> {
  const { store, catalog, hosts, stopping } = parts;
  const toMessage = createDeckyMessages(parts);
  return {
    async applyFleet(request, context) {
      const wanted = await inSlices(parseFleet(request, catalog), context.signal);
      const fleet = await inSlices(expandFleet(wanted, catalog), context.signal);
      const actor = callerOf(context).name;
      const requestHash = hashRequest(parts, ApplyFleetRequestSchema, request);
      const record = await parts.fleet.apply({ actor, options: parseOptions(request.options), requestHash, fleet });
      // A plan for ten thousand deckies: made, converted and written, with everybody else between.
      await turn();
      const operation = await awaitOperation(record, waits(request.options), parts, context);
      await turn();
      return { operation };
    },
    async getFleet() {
      const wanted = await parts.fleet.wanted();
      return wanted === undefined ? {} : { fleet: toWantedFleet(wanted, catalog) };
    },
    async listDeckies(request) {
      const terms = parseFilter(request.filter, deckyFilter);
      const pages = createPageTokens(parts.fingerprint, "deckies", terms);
      const { rows, counts, next } = await store.deckies.list({ terms, page: pages.parse(request, 100) });
      return { deckies: rows.map(toMessage), counts, nextPageToken: pages.make(next) };
    },
    async getDecky(request) {
      const { scope, name } = await knownRef(request.decky, parts);
      return { decky: toMessage(await store.deckies.show(scope, name)) };
    },
    async listRevisions(request) {
      const { revision, compareTo } = request;
      const ref = await knownRef(request.decky, parts);
      const pages = createPageTokens(parts.fingerprint, "revisions", [ref, compareTo]);
      const { revisions, next } = await store.deckies.revisions({
        ...ref,
        revision,
        compareTo,
        page: pages.parse(request, 50),
      });
      return {
        revisions: revisions.map(({ revision: shown, before }) => ({
          number: shown.number,
          createdAt: timestampFromDate(shown.createdAt),
          actor: shown.actor,
          reason: shown.reason,
          operation: shown.operationId,
          services: shown.services.map((service) => service.slug),
          comparedTo: before?.number ?? 0,
          changes: before === undefined ? [] : diffServices(before.services, shown.services, catalog).map(toChangeMessage),
        })),
        nextPageToken: pages.make(next),
      };
    },
    async restoreRevision(request, context) {
      if (request.revision === 0) throw invalid([{ field: "revision", description: "is needed" }]);
      const slug = request.service === "" ? "" : parseSlug(request.service);
      const { name } = parseRef(request.decky);
      const record = await parts.mutations.submit({
        kind: "restore_revision",
        service: slug,
        revision: request.revision,
        change(services, at) {
          const old = at(request.revision);
          requireRestorable(services, old, slug, name);
          return refuseInvalid(restoreServices(services, old, slug), slug, catalog);
        },
        ...(await common(parts, RestoreRevisionRequestSchema, request, context)),
      });
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
    async rotateDecky(request, context) {
      const record = await parts.rotations.rotate(await common(parts, RotateDeckyRequestSchema, request, context));
      return { operation: await awaitOperation(record, waits(request.options), parts, context) };
    },
    async teardownDecky(request, context) {
      const change = await common(parts, TeardownDeckyRequestSchema, request, context);
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
      const { scope, name } = await knownRef(request.decky, parts);
      const { decky, services } = await store.deckies.show(scope, name);
      if (request.service !== "") requirePresent(services, request.service, name);
      const slugs = request.service === "" ? services.map((service) => service.slug) : [request.service];
      const host = hosts.link(decky.host);
      const removed = new AbortController();
      const signal = AbortSignal.any([context.signal, stopping, removed.signal]);
      const options = { tail: request.tail || 100, follow: request.follow, signal };
      if (request.follow) void waitForRemoval(store, { scope, name }, slugs, signal).then(() => removed.abort());
      for await (const entry of mergeStreams(slugs.map((slug) => host.logs({ scope, name }, slug, options))))
        yield create(StreamLogsResponseSchema, { lines: [toLogLine(entry)] });
    },
  };
}

const removalMs = 60_000;
const lookMs = 2_000;

/** Until the decky is gone, or all of the services for a while: what was removed may be added again. */
async function waitForRemoval(
  { deckies }: Pick<MasterParts["store"], "deckies">,
  { scope, name }: { readonly scope: string; readonly name: string },
  slugs: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  let presentAt = Date.now();
  while (!signal.aborted && Date.now() - presentAt < removalMs) {
    await delay(lookMs, undefined, { signal }).catch(() => undefined);
    try {
      const { services } = await deckies.show(scope, name);
      if (services.some(({ slug }) => slugs.includes(slug))) presentAt = Date.now();
    } catch (error) {
      if (error instanceof AppError && error.reason === "DECKY_NOT_FOUND") return;
    }
  }
}
