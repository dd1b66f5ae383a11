import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type EventService, type SubscribeResponse, SubscribeResponseSchema } from "@decnet/contract/gen/decnet/v1/event_pb";
import { isTopicPattern, topicMatcher } from "@decnet/contract/topics";
import type { StoredEvent } from "../model/events.ts";
import type { MasterParts } from "./parts.ts";
import { invalid } from "./requests.ts";

const heartbeatMs = 10_000;

export function createEventHandlers({ store: { events }, stopping }: MasterParts): ServiceImpl<typeof EventService> {
  return {
    async *subscribe(request, context) {
      const bad = request.patterns.find((pattern) => !isTopicPattern(pattern));
      if (bad !== undefined || request.patterns.length > 100)
        throw invalid([
          { field: "patterns", description: "segments separated by dots; `*` is one segment, a last `>` is the rest" },
        ]);
      const isWanted = topicMatcher(request.patterns);
      const start =
        request.cursor !== ""
          ? await events.positionOf(request.cursor)
          : request.since === undefined
            ? await events.head()
            : await events.positionBefore(timestampDate(request.since));
      let cursor = start;
      const heartbeat = () =>
        create(SubscribeResponseSchema, {
          item: { case: "heartbeat", value: { serverTime: timestampFromDate(new Date()), cursor } },
        });
      yield heartbeat();
      for await (const row of events.follow(start, heartbeatMs, AbortSignal.any([context.signal, stopping]))) {
        if (row === undefined) {
          yield heartbeat();
          continue;
        }
        cursor = row.position;
        if (isWanted(row.topic)) yield messageOf(row);
      }
    },
  };
}

/** One message for all who follow: they share the row as well. */
const messages = new WeakMap<StoredEvent, SubscribeResponse>();

function messageOf(row: StoredEvent): SubscribeResponse {
  const known = messages.get(row);
  if (known !== undefined) return known;
  const { position: cursor, eventId: id, topic, occurredAt, payload } = row;
  const value = { cursor, id, topic, occurredAt: timestampFromDate(occurredAt), data: payload as JsonObject };
  const message = create(SubscribeResponseSchema, { item: { case: "event", value } });
  messages.set(row, message);
  return message;
}
