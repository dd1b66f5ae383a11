import { setTimeout as delay } from "node:timers/promises";
import { toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { type Event, EventSchema } from "@decnet/contract/gen/decnet/v1/event_pb";
import { matchesTopic } from "@decnet/contract/topics";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { reading } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { print, printRaw, remark } from "../output.ts";
import { type Form, formOf, type ReadFlags } from "../read-flags.ts";
import { parseDuration } from "../text/duration.ts";
import { formatEvent } from "../text/events.ts";
import { UsageError } from "../usage-error.ts";

interface EventFlags extends ReadFlags {
  readonly since?: string;
  readonly follow?: boolean;
}

/** `decnet events` */
export function registerEvents(program: Command, cli: Cli): void {
  reading(
    program
      .command("events [patterns...]")
      .description("Events, for instance 'decky.web-01.>'; without --follow those of the last hour.")
      .option("--since <when>", "an age such as 1h, or the cursor of an event")
      .option("-f, --follow", "go on with what happens"),
    {
      examples: ["events", "events 'decky.web-07.>' --since 1h --follow", "events --since 18211 -o jsonl"],
      rpc: "EventService/Subscribe",
      body: '{"patterns":["decky.web-07.>"]}',
    },
  ).action((patterns: string[], flags: EventFlags) =>
    cli.withConnection(async (connection) => {
      const form = formOf(flags);
      const start = startOf(flags);
      if (flags.follow === true) await followEvents(connection, patterns, start, form);
      else await listEvents(connection, patterns, start, form);
      return undefined;
    }),
  );
}

type Start = { readonly cursor: string } | { readonly since: ReturnType<typeof timestampFromMs> } | Record<never, never>;

function startOf({ since, follow }: EventFlags): Start {
  if (since === undefined && follow === true) return {};
  const text = since ?? "1h";
  if (/^\d+$/.test(text)) return { cursor: text };
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError("--since is an age such as 30m or 1h, or the cursor of an event");
  return { since: timestampFromMs(Date.now() - ms) };
}

/** All events up to now. The first message of a stream without a start says which cursor that is. */
async function listEvents(connection: Connection, patterns: readonly string[], start: Start, form: Form): Promise<void> {
  let head = "";
  for await (const { item } of connection.events.subscribe({ patterns: [...patterns] })) {
    if (item.case === "heartbeat") head = item.value.cursor;
    break;
  }
  // Subscribes to every topic, so that the event at the head comes whatever the patterns are.
  for await (const { item } of connection.events.subscribe(start)) {
    if (item.case === "event" && (patterns.length === 0 || patterns.some((each) => matchesTopic(each, item.value.topic))))
      showEvent(item.value, form);
    if (item.value === undefined || BigInt(item.value.cursor || "0") >= BigInt(head || "0")) break;
  }
  if (form === "jsonl") printRaw(JSON.stringify({ type: "result", state: "SUCCEEDED", cursor: head }));
}

const firstPauseMs = 250;
const longestPauseMs = 10_000;
const mostAttempts = 100;

/** After a lost connection it continues where it was. */
async function followEvents(connection: Connection, patterns: string[], start: Start, form: Form): Promise<void> {
  let from = start;
  let cursor = "";
  let pauseMs = firstPauseMs;
  for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
    const lostAt = attempt === 1 ? "" : cursor;
    try {
      for await (const { item } of connection.events.subscribe({ patterns, ...from })) {
        if (item.value === undefined) continue;
        if (lostAt !== "" && pauseMs !== firstPauseMs) remark(`-- reconnected, no gap (after ${lostAt}) --`);
        pauseMs = firstPauseMs;
        cursor = item.value.cursor;
        from = { cursor };
        if (item.case === "event") showEvent(item.value, form);
      }
      remark("-- the master ended the stream --");
    } catch (error) {
      if (cursor === "" || fromConnectError(error).reason !== "HOST_UNREACHABLE") throw error;
      remark(`-- connection lost after ${cursor} --`);
    }
    pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    await delay(pauseMs);
  }
}

function showEvent(event: Event, form: Form): void {
  if (form === "table" || form === "wide") print(formatEvent(event));
  else if (form === "name") printRaw(event.cursor);
  else if (form === "yaml") printRaw(`---\n${formatDocument("yaml", toJson(EventSchema, event))}`);
  else printRaw(JSON.stringify({ type: "event", event: toJson(EventSchema, event) }));
}
