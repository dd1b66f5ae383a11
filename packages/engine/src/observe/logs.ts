import { once } from "node:events";
import { PassThrough } from "node:stream";
import type { EngineApi } from "../docker/engine-api.ts";
import type { LogRange } from "../docker/log-calls.ts";
import { createLineQueue } from "./line-queue.ts";

export interface LogEntry {
  readonly service: string;
  readonly stream: "stdout" | "stderr";
  readonly at: string;
  readonly text: string;
  /** The id of the container that wrote it. */
  readonly container: string;
  /** Says that the lines from here on come from that container, which is another one than before. */
  readonly containerChanged: boolean;
  /** Stands for so many lines that were dropped, up to its time. */
  readonly dropped?: number;
}

const maxText = 16 << 10;

/**
 * Lines that a container wrote, oldest first. Ends with the container's log unless it follows. A slow reader slows it down; one
 * that follows and takes nothing for a while is told how many lines were dropped.
 */
export async function* streamContainerLogs(
  api: EngineApi,
  id: string,
  options: { slug: string; range: LogRange; follow: boolean; signal: AbortSignal },
): AsyncGenerator<LogEntry> {
  const raw = await api.followLogs(id, { ...options.range, follow: options.follow });
  const source = Buffer.isBuffer(raw) ? new PassThrough().end(raw) : raw;
  const { slug } = options;
  const queue = createLineQueue<LogEntry>({
    sizeOf: ({ text }) => text.length,
    source,
    dropped: options.follow ? (count, last) => droppedLines(count, last) : undefined,
  });
  const bell = new PassThrough({ objectMode: true });
  const ring = () => bell.emit("ring");
  const splitter = (stream: LogEntry["stream"]) => {
    let rest = "";
    const sink = new PassThrough();
    sink.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = (lines.pop() ?? "").slice(0, maxText * 2);
      for (const line of lines) queue.push(toEntry(slug, id, stream, line));
      ring();
    });
    return sink;
  };
  let ended = false;
  const finish = () => {
    ended = true;
    ring();
  };
  api.demux(source, splitter("stdout"), splitter("stderr"));
  source.once("end", finish).once("close", finish).once("error", finish);
  options.signal.addEventListener("abort", finish, { once: true });
  if (options.signal.aborted) finish();
  try {
    for (;;) {
      for (let entry = queue.take(); entry !== undefined; entry = queue.take()) yield entry;
      if (ended) {
        await new Promise((resolve) => setImmediate(resolve));
        if (queue.isEmpty) return;
        continue;
      }
      await once(bell, "ring");
    }
  } finally {
    queue.close();
    options.signal.removeEventListener("abort", finish);
    if ("destroy" in source && typeof source.destroy === "function") source.destroy();
  }
}

function droppedLines(count: number, last: LogEntry): LogEntry {
  return { ...last, text: `… ${count} lines dropped: they came faster than they were read`, dropped: count };
}

function toEntry(slug: string, container: string, stream: LogEntry["stream"], line: string): LogEntry {
  const space = line.indexOf(" ");
  const text = line.slice(space + 1);
  const shown = text.length > maxText ? `${text.slice(0, maxText)}…` : text;
  return { service: slug, stream, at: line.slice(0, space), text: shown, container, containerChanged: false };
}
