import type { StoredEvent } from "../model/events.ts";

/** No body of ours is longer, whatever an event carries. */
const mostBytes = 256 << 10;

type Sent = Pick<StoredEvent, "position" | "eventId" | "topic" | "occurredAt" | "payload">;

/** An event as the body of a request. One that carries too much goes without its data, and says so. */
export function bodyOf({ position, eventId, topic, occurredAt, payload }: Sent): string {
  const common = { type: topic, timestamp: occurredAt.toISOString(), id: eventId, cursor: position };
  const body = JSON.stringify({ ...common, data: payload });
  if (Buffer.byteLength(body) <= mostBytes) return body;
  return JSON.stringify({ ...common, data: {}, dataLeftOut: true });
}
