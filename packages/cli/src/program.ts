import { type DescMessage, fromJson, type JsonObject, type MessageShape, toJson } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Role, WhoAmIResponseSchema } from "@decnet/common/gen/decnet/v1/access_pb";
import {
  GetServiceResponseSchema,
  ListArchetypesResponseSchema,
  ListDistrosResponseSchema,
  ListServicesResponseSchema,
} from "@decnet/common/gen/decnet/v1/catalog_pb";
import { type Decky, DeckyState, ServiceState } from "@decnet/common/gen/decnet/v1/decky_pb";
import { SubscribeResponseSchema } from "@decnet/common/gen/decnet/v1/event_pb";
import {
  GetDeckyResponseSchema,
  ListDeckiesResponseSchema,
  ListRevisionsResponseSchema,
  WantedFleetSchema,
} from "@decnet/common/gen/decnet/v1/fleet_pb";
import { UpdateMode } from "@decnet/common/gen/decnet/v1/mutation_pb";
import {
  GetOperationResponseSchema,
  ListOperationsResponseSchema,
  OperationKind,
  OperationState,
  StepState,
} from "@decnet/common/gen/decnet/v1/operation_pb";
import { Command, Option } from "commander";
import { type ChangeFlags, follow, parseRevision, runChange } from "./change.ts";
import { type Connection, connect } from "./connection.ts";
import { age, print, table, visible, word } from "./output.ts";
import { parseSettings, readMap, UsageError } from "./settings.ts";

const exitCodes = `
Exit codes: 0 done · 1 unexpected · 2 bad input · 3 not found · 4 conflict · 5 not signed in or not allowed · 6 unreachable ·
7 failed and undone · 8 failed and NOT undone · 9 --wait ran out, the operation goes on · 10 --plan --exit-code: there are changes · 130 interrupted`;

interface Globals {
  readonly address: string;
  readonly token: string;
  readonly tokenFile: string;
}

type ReadFlags = { readonly json?: boolean };

/** The whole command tree. Every action returns an exit code, or nothing for 0. */
export function createProgram(env: Readonly<Record<string, string | undefined>>, onExit: (code: number) => void): Command {
  const program = new Command("decnet")
    .description("Change decoy services on live deckies.")
    .addOption(new Option("--address <url>", "where the master is").default(env["DECNET_ADDRESS"] ?? "http://127.0.0.1:7440"))
    .addOption(
      new Option("--token <token>", "bearer token; DECNET_TOKEN is better, arguments are visible to others").default(
        env["DECNET_TOKEN"] ?? "",
        "DECNET_TOKEN",
      ),
    )
    .addOption(
      new Option("--token-file <file>", "where the token is").default(
        env["DECNET_TOKEN_FILE"] ?? "/var/lib/decnet/master/admin.token",
      ),
    )
    .addHelpText("after", exitCodes)
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text) });

  const withConnection = async (work: (connection: Connection) => Promise<number | undefined>) => {
    const connection = connect(program.opts<Globals>());
    try {
      onExit((await work(connection)) ?? 0);
    } finally {
      connection.close();
    }
  };
  const show = <Desc extends DescMessage>(flags: ReadFlags, schema: Desc, message: MessageShape<Desc>, text: () => string) =>
    print(flags.json === true ? JSON.stringify(toJson(schema, message), null, 2) : text());
  const reading = (command: Command) => command.option("--json", "one JSON document");
  const changing = (command: Command) =>
    reading(command)
      .option("-y, --yes", "do not ask; never covers named risks")
      .option("--accept <risk...>", "accept a named risk: cut-sessions, restart-base, teardown=NAME")
      .option("--plan", "only show the plan")
      .option("--exit-code", "with --plan: exit 10 when there are changes")
      .option("--wait <how>", "applied (default), accepted, or a time such as 30s")
      .option("--expect <revision>", "refuse unless the decky is at this revision")
      .option("--expect-plan <digest>", "refuse unless the plan is this one")
      .option("--reason <text>", "kept with the operation")
      .option("--request-id <id>", "the same id again gives the same operation")
      .option("--on-failure <what>", "undo (default) or keep")
      .addHelpText("after", exitCodes);

  reading(program.command("status").description("What needs you, on one screen.")).action((flags: ReadFlags) =>
    withConnection(async ({ fleet, access, address }) => {
      const [who, all] = await Promise.all([access.whoAmI({}), fleet.listDeckies({ pageSize: 1_000 })]);
      const troubled = all.deckies.filter((decky) => decky.state !== DeckyState.RUNNING);
      show(flags, ListDeckiesResponseSchema, all, () =>
        [
          `${address} · master ${who.serverVersion} · ${Object.values(all.counts).reduce((sum, count) => sum + count, 0)} deckies`,
          `  ${
            Object.entries(all.counts)
              .map(([state, count]) => `${state} ${count}`)
              .join(" · ") || "no deckies yet: decnet fleet apply -f fleet.yaml"
          }`,
          ...troubled
            .slice(0, 20)
            .map(
              (decky) =>
                `  ! ${decky.ref?.name ?? ""}  ${word(DeckyState, decky.state)}  ${visible(decky.message)}    decnet decky get ${decky.ref?.name ?? ""}`,
            ),
        ].join("\n"),
      );
      return undefined;
    }),
  );

  const decky = program.command("decky").description("Look at deckies, and at what they were.");
  reading(
    decky
      .command("list")
      .description("All deckies.")
      .option("--select <filter>", "for instance state!=running,service=ssh,name=web-*", ""),
  ).action((flags: ReadFlags & { select: string }) =>
    withConnection(async ({ fleet }) => {
      const all = await fleet.listDeckies({ filter: flags.select, pageSize: 1_000 });
      show(flags, ListDeckiesResponseSchema, all, () =>
        table(["NAME", "STATE", "HOST", "IP", "SERVICES", "REV", "AGE"], all.deckies.map(deckyRow)),
      );
      return undefined;
    }),
  );
  reading(decky.command("get <name>").description("One decky in full.")).action((name: string, flags: ReadFlags) =>
    withConnection(async ({ fleet }) => {
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
      withConnection(async ({ fleet }) => {
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
    withConnection(async ({ fleet }) => {
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
    withConnection((connection) =>
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
      withConnection((connection) =>
        runChange({
          flags,
          connection,
          asks: true,
          typed: { name, accept: `teardown=${name}` },
          submit: (options) => connection.fleet.teardownDecky({ decky: { name }, options }),
        }),
      ),
  );

  const service = program.command("service").description("Change one service of one decky.");
  changing(
    service
      .command("add <decky> <slug> [settings...]")
      .description("Add a service. Nothing else is touched.")
      .option("-f, --file <file>", "settings from a YAML file"),
  ).action((name: string, slug: string, settings: string[], flags: ChangeFlags & { file?: string }) =>
    withConnection((connection) => {
      const config = parseSettings(settings, flags.file);
      return runChange({
        flags,
        connection,
        asks: false,
        submit: (options) => connection.mutations.addService({ decky: { name }, service: slug, config, options }),
      });
    }),
  );
  changing(service.command("remove <decky> <slug>").description("Remove a service and its settings.")).action(
    (name: string, slug: string, flags: ChangeFlags) =>
      withConnection((connection) =>
        runChange({
          flags,
          connection,
          asks: true,
          submit: (options) => connection.mutations.removeService({ decky: { name }, service: slug, options }),
        }),
      ),
  );
  const update = (verb: "set" | "replace", text: string, mode: UpdateMode) =>
    changing(
      service
        .command(`${verb} <decky> <slug> [settings...]`)
        .description(text)
        .option("-f, --file <file>", "settings from a YAML file")
        .option("--save", "store only; the running container keeps its settings")
        .option("--clear-secret <key...>", "forget a secret")
        .option("--apply-staged", "make saved settings real"),
    ).action(
      (
        name: string,
        slug: string,
        settings: string[],
        flags: ChangeFlags & { file?: string; save?: boolean; clearSecret?: string[]; applyStaged?: boolean },
      ) =>
        withConnection((connection) => {
          const given = parseSettings(settings, flags.file);
          if (flags.applyStaged === true && flags.save === true)
            throw new UsageError("--save and --apply-staged exclude each other");
          const config: { config?: JsonObject } =
            flags.applyStaged === true && Object.keys(given).length === 0 ? {} : { config: given };
          return runChange({
            flags,
            connection,
            asks: flags.save !== true,
            submit: (options) =>
              connection.mutations.updateServiceConfig({
                decky: { name },
                service: slug,
                ...config,
                mode,
                clearSecrets: flags.clearSecret ?? [],
                apply: flags.save !== true,
                options,
              }),
          });
        }),
    );
  update("set", "Change some settings; the others stay.", UpdateMode.MERGE);
  update("replace", "Change all settings; secrets that are not named stay.", UpdateMode.REPLACE);
  reading(service.command("get <decky> <slug>").description("One service with its settings.")).action(
    (name: string, slug: string, flags: ReadFlags) =>
      withConnection(async ({ fleet }) => {
        const found = await fleet.getDecky({ decky: { name } });
        const one = found.decky?.services.find((each) => each.slug === slug);
        if (one === undefined) throw new UsageError(`${slug} is not on ${name}; decnet decky get ${name}`);
        print(
          JSON.stringify(
            {
              config: one.config ?? {},
              secretsSet: one.secretsSet,
              ...(one.staged === undefined ? {} : { staged: one.staged }),
              state: word(ServiceState, one.state),
            },
            null,
            flags.json === true ? 0 : 2,
          ),
        );
        return undefined;
      }),
  );

  const fleetCommand = program.command("fleet").description("The whole fleet as one file.");
  const applyFleet = (file: string, flags: ChangeFlags) =>
    withConnection((connection) => {
      const fleet = fromJson(WantedFleetSchema, readMap(file));
      return runChange({ flags, connection, asks: true, submit: (options) => connection.fleet.applyFleet({ fleet, options }) });
    });
  changing(
    fleetCommand
      .command("apply")
      .description("Make the fleet what the file says; deckies that are not in it go.")
      .requiredOption("-f, --file <file>", "fleet file, YAML"),
  ).action((flags: ChangeFlags & { file: string }) => applyFleet(flags.file, flags));
  changing(
    fleetCommand.command("plan").description("What apply would do.").requiredOption("-f, --file <file>", "fleet file, YAML"),
  ).action((flags: ChangeFlags & { file: string }) => applyFleet(flags.file, { ...flags, plan: true }));
  changing(fleetCommand.command("teardown").description("Remove every decky of the fleet.")).action((flags: ChangeFlags) =>
    withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        typed: { name: "fleet", accept: "teardown=fleet" },
        submit: (options) => connection.fleet.teardownFleet({ options }),
      }),
    ),
  );

  const op = program.command("op").description("What was asked for and how it went.");
  reading(
    op
      .command("list")
      .description("Operations, newest first.")
      .option("--select <filter>", "for instance decky=web-01,state=failed", ""),
  ).action((flags: ReadFlags & { select: string }) =>
    withConnection(async ({ operations }) => {
      const found = await operations.listOperations({ filter: flags.select });
      show(flags, ListOperationsResponseSchema, found, () =>
        table(
          ["ID", "AGE", "WHO", "WHAT", "RESULT"],
          found.operations.map((each) => [
            each.id,
            age(each.createdAt),
            each.actor,
            `${word(OperationKind, each.kind)} ${each.decky?.name ?? ""} ${each.service}`.trim(),
            `${word(OperationState, each.state)}${each.error?.undone === true ? ", undone" : ""}`,
          ]),
        ),
      );
      return undefined;
    }),
  );
  reading(
    op
      .command("get <id>")
      .description("One operation in full.")
      .option("--output-log", "only the output of failed steps")
      .option("--receipt", "only the receipt"),
  ).action((id: string, flags: ReadFlags & { outputLog?: boolean; receipt?: boolean }) =>
    withConnection(async ({ operations }) => {
      const found = await operations.getOperation({ id });
      const one = found.operation;
      show(flags, GetOperationResponseSchema, found, () => {
        if (one === undefined) return "";
        const log = [...(one.error?.outputTail ?? []), ...one.steps.flatMap((step) => step.outputTail)].map(visible);
        if (flags.outputLog === true) return log.join("\n");
        const receipt = table(
          ["CONTAINER", "BEFORE", "AFTER", "PLANNED"],
          one.receipt?.containers.map((each) => [
            each.name,
            each.before?.id.slice(0, 12) ?? "-",
            each.after?.id.slice(0, 12) ?? "-",
            each.planned ? "yes" : "no",
          ]) ?? [],
        );
        if (flags.receipt === true) return receipt;
        const steps = one.steps.map(
          (step) =>
            `  ${step.attempt}.${step.number} ${step.verb} ${step.target}  ${word(StepState, step.state)}  (${step.cause})`,
        );
        return [
          `${one.id}  ${word(OperationKind, one.kind)} ${one.decky?.name ?? ""} ${one.service}  by ${one.actor}  ${word(OperationState, one.state)}`,
          ...(one.error === undefined ? [] : [`  ${one.error.reason}: ${visible(one.error.message)}`]),
          ...steps,
          receipt,
        ].join("\n");
      });
      return undefined;
    }),
  );
  reading(op.command("watch <id>").description("Replay the steps that are done, then follow.")).action(
    (id: string, flags: ReadFlags) => withConnection((connection) => follow(connection, id, flags)),
  );
  op.command("cancel <id>")
    .description("Stop an operation and undo it.")
    .action((id: string) =>
      withConnection(async ({ operations }) => {
        const { operation } = await operations.cancelOperation({ id });
        print(`${id} is ${word(OperationState, operation?.state ?? 0)}`);
        return undefined;
      }),
    );

  reading(
    program
      .command("events [patterns...]")
      .description("Follow facts, for instance 'decky.web-01.>'.")
      .option("--cursor <cursor>", "go on after this one", "")
      .option("--since <age>", "such as 1h or 30m"),
  ).action((patterns: string[], flags: ReadFlags & { cursor: string; since?: string }) =>
    withConnection(async ({ events }) => {
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

  const catalog = program.command("catalog").description("The decoy services on offer.");
  reading(catalog.command("list")).action((flags: ReadFlags) =>
    withConnection(async (connection) => {
      const found = await connection.catalog.listServices({});
      show(flags, ListServicesResponseSchema, found, () =>
        table(
          ["SLUG", "PORTS", "WHAT"],
          found.services.map((each) => [
            each.slug,
            each.ports.map((port) => `${port.protocol}/${port.number}`).join(" ") || (each.singleton ? "per host" : "-"),
            each.summary,
          ]),
        ),
      );
      return undefined;
    }),
  );
  reading(catalog.command("get <slug>")).action((slug: string, flags: ReadFlags) =>
    withConnection(async (connection) => {
      const found = await connection.catalog.getService({ slug });
      show(flags, GetServiceResponseSchema, found, () =>
        table(
          ["KEY", "DEFAULT", "ALLOWED", "HELP"],
          found.service?.fields.map((field) => [
            field.key,
            field.secret ? "(secret)" : JSON.stringify(field.defaultValue === undefined ? "" : valueText(field.defaultValue)),
            field.enumValues.join("|"),
            field.help,
          ]) ?? [],
        ),
      );
      return undefined;
    }),
  );
  reading(catalog.command("archetypes")).action((flags: ReadFlags) =>
    withConnection(async (connection) => {
      const found = await connection.catalog.listArchetypes({});
      show(flags, ListArchetypesResponseSchema, found, () =>
        table(
          ["SLUG", "SERVICES", "NOT ON OFFER YET"],
          found.archetypes.map((each) => [each.slug, each.services.join(" "), each.missingServices.join(" ")]),
        ),
      );
      return undefined;
    }),
  );
  reading(catalog.command("distros")).action((flags: ReadFlags) =>
    withConnection(async (connection) => {
      const found = await connection.catalog.listDistros({});
      show(flags, ListDistrosResponseSchema, found, () =>
        table(
          ["SLUG", "IMAGE"],
          found.distros.map((each) => [each.slug, each.image]),
        ),
      );
      return undefined;
    }),
  );

  reading(program.command("whoami").description("Who the master takes you for.")).action((flags: ReadFlags) =>
    withConnection(async ({ access }) => {
      const me = await access.whoAmI({});
      show(flags, WhoAmIResponseSchema, me, () => `${me.name}  ${word(Role, me.role)}  ${me.tokenId}`);
      return undefined;
    }),
  );
  return program;
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

function valueText(value: { readonly kind: { readonly value?: unknown } }): unknown {
  const inner = value.kind.value;
  return typeof inner === "object" ? "list" : inner;
}

function sinceOf(since: string | undefined): { since?: { seconds: bigint } } {
  if (since === undefined) return {};
  const [, amount = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(since) ?? [];
  if (amount === "") throw new UsageError("--since is a time such as 30m or 1h");
  const seconds = Number(amount) * ({ s: 1, m: 60, h: 3_600, d: 86_400 }[unit] ?? 1);
  return { since: { seconds: BigInt(Math.floor(Date.now() / 1000) - seconds) } };
}
