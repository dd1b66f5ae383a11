import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Decky, DeckyState, ServiceState } from "@decnet/common/gen/decnet/v1/decky_pb";
import {
  GetDeckyResponseSchema,
  ListDeckiesResponseSchema,
  ListRevisionsResponseSchema,
} from "@decnet/common/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import { type ChangeFlags, parseRevision, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { changing, type ReadFlags, reading, show } from "../flags.ts";
import { age, print, table, visible, word } from "../output.ts";

/** `decnet decky …` */
export function registerDecky(program: Command, cli: Cli): void {
  const decky = program.command("decky").description("Look at deckies, and at what they were.");
  reading(
    decky
      .command("list")
      .description("All deckies.")
      .option("--select <filter>", "for instance state!=running,service=ssh,name=web-*", ""),
  ).action((flags: ReadFlags & { select: string }) =>
    cli.withConnection(async ({ fleet }) => {
      const all = await fleet.listDeckies({ filter: flags.select, pageSize: 1_000 });
      show(flags, ListDeckiesResponseSchema, all, () =>
        table(["NAME", "STATE", "HOST", "IP", "SERVICES", "REV", "AGE"], all.deckies.map(deckyRow)),
      );
      return undefined;
    }),
  );
  reading(decky.command("get <name>").description("One decky in full.")).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async ({ fleet }) => {
      const found = await fleet.getDecky({ decky: { name } });
      show(flags, GetDeckyResponseSchema, found, () => (found.decky === undefined ? "" : formatDecky(found.decky)));
      return undefined;
    }),
  );
  decky
    .command("logs <name> [service]")
    .description("What the services of a decky wrote.")
    .option("-f, --follow", "go on")
    .option("--tail <lines>", "lines from the end, per service", "100")
    .action((name: string, service: string | undefined, flags: { follow?: boolean; tail: string }) =>
      cli.withConnection(async ({ fleet }) => {
        for await (const { lines } of fleet.streamLogs({
          decky: { name },
          service: service ?? "",
          follow: flags.follow ?? false,
          tail: Number(flags.tail) || 100,
        }))
          for (const line of lines)
            print(`${line.at === undefined ? "" : timestampDate(line.at).toISOString()} ${line.service} ${visible(line.text)}`);
        return undefined;
      }),
    );
  reading(
    decky
      .command("revisions <name>")
      .description("What was asked for, newest first.")
      .option("--diff <range>", "compare two: r41..r43"),
  ).action((name: string, flags: ReadFlags & { diff?: string }) =>
    cli.withConnection(async ({ fleet }) => {
      const [from, to] = flags.diff?.split("..").map(parseRevision) ?? [];
      const found = await fleet.listRevisions({
        decky: { name },
        ...(to === undefined || from === undefined ? {} : { revision: to, compareTo: from }),
      });
      show(flags, ListRevisionsResponseSchema, found, () =>
        table(
          ["REV", "AGE", "WHO", "WHAT", "WHY"],
          found.revisions.map((each) => [
            `r${each.number}`,
            age(each.createdAt),
            each.actor,
            each.changes
              .map(
                (change) =>
                  `${["?", "+", "-", "~", "s"][change.action] ?? "?"}${change.service}${change.fields.length > 0 ? `(${change.fields.map((field) => field.key).join(",")})` : ""}`,
              )
              .join(" "),
            each.reason,
          ]),
        ),
      );
      return undefined;
    }),
  );
  changing(
    decky
      .command("restore <name> <revision>")
      .description("Take an old revision back.")
      .option("--service <slug>", "only this service"),
  ).action((name: string, revision: string, flags: ChangeFlags & { service?: string }) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        submit: (options) =>
          connection.fleet.restoreRevision({
            decky: { name },
            revision: parseRevision(revision),
            service: flags.service ?? "",
            options,
          }),
      }),
    ),
  );
  changing(decky.command("teardown <name>").description("Remove a decky with everything of it.")).action(
    (name: string, flags: ChangeFlags) =>
      cli.withConnection((connection) =>
        runChange({
          flags,
          connection,
          asks: true,
          typed: { name, accept: `teardown=${name}` },
          submit: (options) => connection.fleet.teardownDecky({ decky: { name }, options }),
        }),
      ),
  );
}

function deckyRow(decky: Decky): string[] {
  const services = decky.services
    .map((service) => (service.state === ServiceState.RUNNING ? service.slug : `!${service.slug}`))
    .join(" ");
  const revision =
    decky.desiredRevision === decky.appliedRevision
      ? `r${decky.desiredRevision}`
      : `r${decky.desiredRevision}≠r${decky.appliedRevision}`;
  return [
    decky.ref?.name ?? "",
    word(DeckyState, decky.state),
    decky.host,
    decky.addresses[0]?.ip ?? "",
    services,
    revision,
    age(decky.observedAt),
  ];
}

function formatDecky(decky: Decky): string {
  const address = decky.addresses[0];
  return [
    `${decky.ref?.name ?? ""}  fleet · host ${decky.host} · ${word(DeckyState, decky.state)} (seen ${age(decky.observedAt)} ago)${decky.message === "" ? "" : `: ${visible(decky.message)}`}`,
    `  identity   ${address?.ip ?? ""} · ${address?.mac ?? ""} · ${decky.identity?.hostname ?? ""} · ${decky.identity?.distro ?? ""} · ${decky.identity?.osFamily ?? ""}    fixed at deploy`,
    `  desired    r${decky.desiredRevision}`,
    `  applied    r${decky.appliedRevision}    decnet decky revisions ${decky.ref?.name ?? ""}`,
    ...decky.services.map((service) =>
      `  service    ${service.slug.padEnd(10)} ${word(ServiceState, service.state)}  ${service.ports.map((port) => `${port.protocol}/${port.number}`).join(" ")}  restarts ${service.restartCount}  sessions ${service.openSessions}  ${visible(service.message)}${service.staged === undefined ? "" : "  staged: saved, not applied"}`.trimEnd(),
    ),
    ...decky.warnings.map((warning) => `  warning    ${warning}`),
  ].join("\n");
}
