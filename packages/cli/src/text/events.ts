import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Event } from "@decnet/contract/gen/decnet/v1/event_pb";
import { oneLine } from "./layout.ts";

/** One event on one line, with its cursor last. */
export function formatEvent({ occurredAt, topic, data, cursor }: Event): string {
  const at = occurredAt === undefined ? "" : timestampDate(occurredAt).toISOString();
  return `${at}  ${oneLine(topic).padEnd(32)}  ${oneLine(JSON.stringify(data ?? {}))}  #${cursor}`;
}
