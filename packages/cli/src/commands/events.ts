import { toJson } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { SubscribeResponseSchema } from "@decnet/common/gen/decnet/v1/event_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { type ReadFlags, reading } from "../flags.ts";
import { print, visible } from "../output.ts";
import { UsageError } from "../settings.ts";

/** `decnet events` */
export function registerEvents(program: Command, cli: Cli): void {
  reading(
    program
      .command("events [patterns...]")
      .description("Follow facts, for instance 'decky.web-01.>'.")
      .option("--cursor <cursor>", "go on after this one", "")
      .option("--since <age>", "such as 1h or 30m"),
  ).action((patterns: string[], flags: ReadFlags & { cursor: string; since?: string }) =>
    cli.withConnection(async ({ events }) => {
      for await (const message of events.subscribe({ patterns, cursor: flags.cursor, ...sinceOf(flags.since) })) {
        if (flags.json === true) print(JSON.stringify(toJson(SubscribeResponseSchema, message)));
        else if (message.item.case === "event") {
          const event = message.item.value;
          print(
            `${event.occurredAt === undefined ? "" : timestampDate(event.occurredAt).toISOString()}  ${event.topic}  ${visible(JSON.stringify(event.data ?? {}))}  #${event.cursor}`,
          );
        }
      }
      return undefined;
    }),
  );
}

function sinceOf(since: string | undefined): { since?: { seconds: bigint } } {
  if (since === undefined) return {};
  const [, amount = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(since) ?? [];
  if (amount === "") throw new UsageError("--since is a time such as 30m or 1h");
  const seconds = Number(amount) * ({ s: 1, m: 60, h: 3_600, d: 86_400 }[unit] ?? 1);
  return { since: { seconds: BigInt(Math.floor(Date.now() / 1000) - seconds) } };
}
