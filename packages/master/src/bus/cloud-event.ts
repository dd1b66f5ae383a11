import { busTopicOf, eventTypeOf, subjectOf } from "@decnet/contract/bus";
import type { OutboxMessage } from "../store/relays.ts";

/** How an event stands in a message: its attributes as headers and its data as value, or all of it as one JSON object. */
export type EventFormat = "binary" | "structured";

/** One message, for one of our topics. */
export interface BusMessage {
  readonly topic: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: string;
}

export interface Envelope {
  readonly source: string;
  readonly format: EventFormat;
  readonly prefix: string;
}

/**
 * CloudEvents 1.0 in the Kafka protocol binding. The id is the event's own, however often it is sent. The key is the entity that
 * the event is about, so that its events keep their order.
 */
export function toMessage(event: OutboxMessage, { source, format, prefix }: Envelope): BusMessage {
  const { eventId: id, topic, key, version, data, occurredAt: time, position } = event;
  const attributes = {
    specversion: "1.0",
    id,
    source,
    type: eventTypeOf(topic, version),
    subject: subjectOf(topic),
    time,
    topic,
    sequence: position.padStart(20, "0"),
  };
  const place = { topic: busTopicOf(topic, prefix), key };
  if (format === "structured") {
    const whole = JSON.stringify({ ...attributes, datacontenttype: "application/json" });
    return {
      ...place,
      headers: { "content-type": "application/cloudevents+json; charset=UTF-8" },
      // What the database has is JSON already.
      value: `${whole.slice(0, -1)},"data":${data}}`,
    };
  }
  const headers: Record<string, string> = { "content-type": "application/json" };
  for (const [name, value] of Object.entries(attributes)) headers[`ce_${name}`] = value;
  return { ...place, headers, value: data };
}

/** The same event without its data, for a bus that takes no message of that size: who reads it can ask for the rest. */
export function withoutData(event: OutboxMessage): OutboxMessage {
  return { ...event, data: JSON.stringify({ omitted: "too large for the bus", bytes: Buffer.byteLength(event.data) }) };
}
