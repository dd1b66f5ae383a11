import { fromJson } from "@bufbuild/protobuf";
import { WantedFleetSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { changing } from "../flags.ts";
import { readMap } from "../settings.ts";
import { UsageError } from "../usage-error.ts";

/** `decnet fleet …` */
export function registerFleet(program: Command, cli: Cli): void {
  const fleetCommand = program.command("fleet").description("The whole fleet as one file.");
  const applyFleet = (file: string, flags: ChangeFlags) =>
    cli.withConnection((connection) => {
      const fleet = readFleet(file);
      return runChange({
        flags,
        connection,
        asks: true,
        question: `Make the fleet what ${file} says`,
        submit: (options) => connection.fleet.applyFleet({ fleet, options }),
      });
    });
  changing(
    fleetCommand
      .command("apply")
      .description("Make the fleet what the file says; deckies that are not in it go.")
      .requiredOption("-f, --file <file>", "fleet file, YAML; - for standard input"),
    {
      examples: ["fleet apply -f fleet.yaml", "fleet apply -f fleet.yaml -y", "fleet apply -f fleet.yaml -y --accept teardown"],
      rpc: "FleetService/ApplyFleet",
      body: '{"fleet":{"lan":{"subnet":"10.66.0.0/24"},"deckies":[{"name":"web-01","services":[{"slug":"ssh"}]}]}}',
    },
  ).action((flags: ChangeFlags & { file: string }) => applyFleet(flags.file, flags));
  changing(
    fleetCommand
      .command("plan")
      .description("What apply would do.")
      .requiredOption("-f, --file <file>", "fleet file, YAML; - for standard input"),
    {
      examples: ["fleet plan -f fleet.yaml", "fleet plan -f fleet.yaml --exit-code", "fleet plan -f fleet.yaml --json"],
      rpc: "FleetService/ApplyFleet",
      body: '{"fleet":{"lan":{"subnet":"10.66.0.0/24"},"deckies":[]},"options":{"dryRun":true}}',
    },
  ).action((flags: ChangeFlags & { file: string }) => applyFleet(flags.file, { ...flags, plan: true }));
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

function readFleet(file: string) {
  const document = readMap(file);
  try {
    return fromJson(WantedFleetSchema, document);
  } catch (error) {
    throw new UsageError(`${file} is not a fleet file: ${error instanceof Error ? error.message : String(error)}`);
  }
}
