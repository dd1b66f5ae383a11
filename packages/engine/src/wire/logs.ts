import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { isInTime } from "@decnet/common/runtime/foreign-time";
import type { LogLine, LogLineSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { LogEntry } from "../observe/logs.ts";

export function toLogLine(entry: LogEntry): MessageInitShape<typeof LogLineSchema> {
  const at = new Date(entry.at);
  return {
    service: entry.service,
    stream: entry.stream,
    text: entry.text,
    container: entry.container,
    containerChanged: entry.containerChanged,
    ...(Number.isNaN(at.getTime()) ? {} : { at: timestampFromDate(at) }),
  };
}

export function fromLogLine(line: LogLine): LogEntry {
  return {
    service: line.service,
    stream: line.stream === "stderr" ? "stderr" : "stdout",
    at: line.at === undefined || !isInTime(line.at) ? "" : timestampDate(line.at).toISOString(),
    text: line.text,
    container: line.container,
    containerChanged: line.containerChanged,
  };
}
