import { fromJson } from "@bufbuild/protobuf";
import { WantedFleetSchema } from "@decnet/common/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { changing } from "../flags.ts";
import { readMap } from "../settings.ts";

/** `decnet fleet …` */
export function registerFleet(program: Command, cli: Cli): void {
  const fleetCommand = program.command("fleet").description("The whole fleet as one file.");
  const applyFleet = (file: string, flags: ChangeFlags) =>
    cli.withConnection((connection) => {
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
