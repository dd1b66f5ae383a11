import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type EventService,
  GetBusResponseSchema,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from "@decnet/contract/gen/decnet/v1/event_pb";
import { isTopicPattern, topicMatcher } from "@decnet/contract/topics";
import { isLate } from "../bus/watch-bus.ts";
import type { StoredEvent } from "../model/events.ts";
import type { MasterParts } from "./parts.ts";
import { invalid } from "./requests.ts";

const heartbeatMs = 10_000;

export function createEventHandlers({ store: { events }, stopping, bus }: MasterParts): ServiceImpl<typeof EventService> {
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
    async getBus() {
      const status = await bus.status();
      if (!bus.isConfigured) return create(GetBusResponseSchema, {});
      const { prefix: topicPrefix, takesCommands } = bus;
      const { cause: commandsTrouble = "", next: commandsNext = "" } = bus.commandsTrouble() ?? {};
      const common = { configured: true, topicPrefix, takesCommands, commandsTrouble, commandsNext };
      if (status === undefined) return create(GetBusResponseSchema, common);
      const { waiting, position: cursor, place: sender, trouble, dropped } = status;
      return create(GetBusResponseSchema, {
        ...common,
        ...{ waiting, cursor, sender, late: isLate(status, Date.now()), dropped: BigInt(dropped) },
        ...{ trouble: trouble?.cause ?? "", next: trouble?.next ?? "" },
        ...timeOf("oldestWaiting", status.oldestWaiting),
        ...timeOf("lastSent", status.sentAt),
        ...timeOf("lastDropped", status.droppedAt),
        ...timeOf("troubleSince", trouble === null ? null : new Date(trouble.since)),
      });
    },
  };
}

function timeOf<Name extends string>(name: Name, time: Date | null): { [Key in Name]?: Timestamp } {
  return time === null ? {} : ({ [name]: timestampFromDate(time) } as { [Key in Name]?: Timestamp });
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
