import { toJson } from "@bufbuild/protobuf";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { WantedFleetSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { openDocument } from "../documents/document.ts";
import { placesOf } from "../documents/locate.ts";
import { settingsRules } from "../documents/parse-settings.ts";
import { toMessage } from "../documents/to-message.ts";
import { changing, reading, type SettingsFlags, takingSettings } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { printRaw, say } from "../output.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { UsageError } from "../usage-error.ts";

/** `decnet fleet …` */
export function registerFleet(program: Command, cli: Cli): void {
  const fleetCommand = program.command("fleet").description("The whole fleet as one file.");
  const applyFleet = (file: string, flags: ChangeFlags & SettingsFlags) =>
    cli.withConnection(async (connection) => {
      const document = openDocument(file);
      const fleet = toMessage(document, WantedFleetSchema, await settingsRules(connection, flags));
      return runChange({
        flags,
        connection,
        asks: true,
        question: `Make the fleet what ${file} says`,
        submit: (options) =>
          connection.fleet.applyFleet({ fleet, options }).catch((error: unknown) => {
            for (const line of placesOf(document, fromConnectError(error).violations, "fleet")) say(line);
            throw error;
          }),
      });
    });
  changing(
    takingSettings(fleetCommand.command("apply"))
      .description("Make the fleet what the file says; deckies that are not in it go.")
      .requiredOption("-f, --file <file>", "fleet file, YAML; - for standard input"),
    {
      examples: ["fleet apply -f fleet.yaml", "fleet apply -f fleet.yaml -y", "fleet apply -f fleet.yaml -y --accept teardown"],
      rpc: "FleetService/ApplyFleet",
      body: '{"fleet":{"lan":{"subnet":"10.66.0.0/24"},"deckies":[{"name":"web-01","services":[{"slug":"ssh"}]}]}}',
    },
  ).action((flags: ChangeFlags & { file: string }) => applyFleet(flags.file, flags));
  changing(
    takingSettings(fleetCommand.command("plan"))
      .description("What apply would do.")
      .requiredOption("-f, --file <file>", "fleet file, YAML; - for standard input"),
    {
      examples: ["fleet plan -f fleet.yaml", "fleet plan -f fleet.yaml --exit-code", "fleet plan -f fleet.yaml --json"],
      rpc: "FleetService/ApplyFleet",
      body: '{"fleet":{"lan":{"subnet":"10.66.0.0/24"},"deckies":[]},"options":{"dryRun":true}}',
    },
  ).action((flags: ChangeFlags & { file: string }) => applyFleet(flags.file, { ...flags, plan: true }));
  reading(
    fleetCommand
      .command("export")
      .description("The fleet as it is wanted now, as a fleet file without secrets; applied again it changes nothing."),
    {
      examples: ["fleet export > fleet.yaml", "fleet export --json", "fleet export | decnet fleet plan -f -"],
      rpc: "FleetService/GetFleet",
    },
  ).action((flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const form = formOf(flags);
      const { fleet } = await connection.fleet.getFleet({});
      if (fleet === undefined) throw new UsageError("no fleet was applied yet; there is nothing to export");
      printRaw(formatDocument(form === "json" || form === "jsonl" ? form : "yaml", toJson(WantedFleetSchema, fleet)));
      return undefined;
    }),
  );
  changing(fleetCommand.command("teardown").description("Remove every decky of the fleet."), {
    examples: ["fleet teardown", "fleet teardown --plan", "fleet teardown --accept teardown=fleet"],
    rpc: "FleetService/TeardownFleet",
  }).action((flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        typed: { name: "fleet", accept: "teardown=fleet" },
        submit: (options) => connection.fleet.teardownFleet({ options }),
      }),
    ),
  );
}
