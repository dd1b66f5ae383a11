import { toJson } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  GetDeckyResponseSchema,
  ListDeckiesResponseSchema,
  ListRevisionsResponseSchema,
  LogLineSchema,
} from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import { type ChangeFlags, parseRevision } from "../change/options.ts";
import { runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { parseDecky } from "../deckies.ts";
import { changing, reading, show } from "../flags.ts";
import { isForPrograms } from "../forms.ts";
import { printPlain, printRaw } from "../output.ts";
import { pageSize, readPages } from "../pages.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { revisionBefore } from "../revisions.ts";
import { formatDeckies, formatDecky, formatDifference, formatLogLine, formatRevisions } from "../text/decky.ts";
import { parseDuration } from "../text/duration.ts";
import { UsageError } from "../usage-error.ts";

/** `decnet decky …` */
export function registerDecky(program: Command, cli: Cli): void {
  const decky = program.command("decky").description("Deckies, their revisions and their logs.");
  registerReads(decky, cli);
  registerLogs(decky, cli);
  registerRevisions(decky, cli);
  changing(
    decky
      .command("restore <name> [revision]")
      .description("Restore an old revision, as a new one; without a number the one before that differs and did not fail.")
      .option("--service <slug>", "only this service"),
    {
      examples: ["decky restore web-07 r41", "decky restore web-07 r41 --service ssh", "decky restore web-07 --plan"],
      rpc: "FleetService/RestoreRevision",
      body: '{"decky":{"name":"web-07"},"revision":41}',
    },
  ).action((name: string, given: string | undefined, flags: ChangeFlags & { service?: string }) =>
    cli.withConnection(async (connection) => {
      const revision = given === undefined ? await revisionBefore(connection, name) : parseRevision(given);
      return runChange({
        flags,
        connection,
        asks: true,
        question: `Restore ${flags.service ?? "all services"} of ${name} from r${revision}`,
        submit: (options) =>
          connection.fleet.restoreRevision({
            decky: parseDecky(name),
            revision,
            service: flags.service ?? "",
            options,
          }),
      });
    }),
  );
  changing(decky.command("rotate <name>").description("Let its services become others now, as its rotation would."), {
    examples: ["decky rotate web-07", "decky rotate web-07 --plan", "decky rotate corp/web-07 -y"],
    rpc: "FleetService/RotateDecky",
    body: '{"decky":{"name":"web-07"}}',
  }).action((name: string, flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        question: `Rotate the services of ${name}`,
        submit: (options) => connection.fleet.rotateDecky({ decky: parseDecky(name), options }),
      }),
    ),
  );
  changing(decky.command("teardown <name>").description("Remove a decky and everything that belongs to it."), {
    examples: [
      "decky teardown web-07",
      "decky teardown web-07 --plan",
      'decky teardown web-07 --accept teardown=web-07 --reason "ticket 4711"',
    ],
    rpc: "FleetService/TeardownDecky",
    body: '{"decky":{"name":"web-07"}}',
  }).action((name: string, flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        typed: { name, accept: `teardown=${name}` },
        submit: (options) => connection.fleet.teardownDecky({ decky: parseDecky(name), options }),
      }),
    ),
  );
}

function registerReads(decky: Command, cli: Cli): void {
  reading(
    decky
      .command("list")
      .description("All deckies, each with the state that was seen.")
      .option("--select <filter>", "for instance state!=running,service=ssh,name=web-*", ""),
    {
      examples: ["decky list", "decky list --select 'state!=running,service=ssh'", "decky list -o name"],
      rpc: "FleetService/ListDeckies",
      body: '{"filter":"state!=running"}',
    },
  ).action((flags: ReadFlags & { select: string }) =>
    cli.withConnection(async ({ fleet }) => {
      const pages = await readPages((pageToken) => fleet.listDeckies({ filter: flags.select, pageSize, pageToken }));
      const deckies = pages.flatMap((page) => page.deckies);
      show(flags, ListDeckiesResponseSchema, { ...pages[0], deckies, nextPageToken: "" }, (isWide) =>
        formatDeckies(deckies, isWide, Date.now()),
      );
      return undefined;
    }),
  );
  reading(decky.command("get <name>").description("One decky in full."), {
    examples: ["decky get web-07", "decky get web-07 --json", "decky get corp/web-07 -o yaml"],
    rpc: "FleetService/GetDecky",
    body: '{"decky":{"name":"web-07"}}',
  }).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async ({ fleet }) => {
      const ref = parseDecky(name);
      const [found, { revisions }] = await Promise.all([
        fleet.getDecky({ decky: ref }),
        fleet.listRevisions({ decky: ref, pageSize: 1 }),
      ]);
      show(flags, GetDeckyResponseSchema, found, () =>
        found.decky === undefined ? "" : formatDecky(found.decky, revisions[0], Date.now()),
      );
      return undefined;
    }),
  );
}

interface LogFlags extends ReadFlags {
  readonly follow?: boolean;
  readonly tail?: string;
  readonly since?: string;
}

/** What the master returns at most, per service. */
const mostLines = 10_000;

function registerLogs(decky: Command, cli: Cli): void {
  reading(
    decky
      .command("logs <name> [service]")
      .description("What the services of a decky wrote.")
      .option("-f, --follow", "go on")
      .option("--tail <lines>", "lines from the end, per service (100; with --since 10000)")
      .option("--since <age>", "only what was written since then, such as 10m"),
    {
      examples: ["decky logs web-07", "decky logs web-07 ssh --follow", "decky logs web-07 --since 10m -o jsonl"],
      rpc: "FleetService/StreamLogs",
      body: '{"decky":{"name":"web-07"},"tail":20}',
    },
  ).action((name: string, service: string | undefined, flags: LogFlags) =>
    cli.withConnection(async ({ fleet }) => {
      const ageMs = flags.since === undefined ? undefined : parseDuration(flags.since);
      if (flags.since !== undefined && ageMs === undefined) throw new UsageError("--since is an age such as 10m or 2h");
      const from = ageMs === undefined ? 0 : Date.now() - ageMs;
      const tail = Number(flags.tail ?? (ageMs === undefined ? 100 : mostLines));
      if (!Number.isInteger(tail) || tail < 1 || tail > mostLines)
        throw new UsageError(`--tail is a number of lines, at most ${mostLines}`);
      const asLines = isForPrograms(formOf(flags));
      const request = { decky: parseDecky(name), service: service ?? "", follow: flags.follow ?? false, tail };
      for await (const { lines } of fleet.streamLogs(request))
        for (const line of lines) {
          if (line.at !== undefined && timestampMs(line.at) < from) continue;
          if (asLines) printRaw(JSON.stringify({ type: "line", ...asObject(toJson(LogLineSchema, line)) }));
          else printPlain(formatLogLine(line));
        }
      return undefined;
    }),
  );
}

function asObject(value: unknown): object {
  return typeof value === "object" && value !== null ? value : { value };
}

function registerRevisions(decky: Command, cli: Cli): void {
  reading(
    decky
      .command("revisions <name>")
      .description("What was asked for, newest first.")
      .option("--diff <range>", "compare two: r41..r43"),
    {
      examples: ["decky revisions web-07", "decky revisions web-07 --diff r41..r43", "decky revisions web-07 --json"],
      rpc: "FleetService/ListRevisions",
      body: '{"decky":{"name":"web-07"}}',
    },
  ).action((name: string, flags: ReadFlags & { diff?: string }) =>
    cli.withConnection(async ({ fleet }) => {
      const range = flags.diff === undefined ? undefined : parseRange(flags.diff);
      const found = await fleet.listRevisions({
        decky: parseDecky(name),
        ...(range === undefined ? {} : { revision: range.to, compareTo: range.from }),
      });
      show(flags, ListRevisionsResponseSchema, found, () =>
        range === undefined
          ? formatRevisions(found.revisions, Date.now())
          : formatDifference(range.from, range.to, found.revisions[0]?.changes ?? []),
      );
      return undefined;
    }),
  );
}

function parseRange(text: string): { from: number; to: number } {
  const [from, to, ...rest] = text.split("..");
  if (from === undefined || to === undefined || rest.length > 0) throw new UsageError("--diff is two revisions such as r41..r43");
  return { from: parseRevision(from), to: parseRevision(to) };
}
