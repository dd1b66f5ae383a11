import type { JsonObject } from "@bufbuild/protobuf";
import { ServiceState } from "@decnet/common/gen/decnet/v1/decky_pb";
import { UpdateMode } from "@decnet/common/gen/decnet/v1/mutation_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { changing, type ReadFlags, reading } from "../flags.ts";
import { print, word } from "../output.ts";
import { parseSettings, UsageError } from "../settings.ts";

/** `decnet service …` */
export function registerService(program: Command, cli: Cli): void {
  const service = program.command("service").description("Change one service of one decky.");
  changing(
    service
      .command("add <decky> <slug> [settings...]")
      .description("Add a service. Nothing else is touched.")
      .option("-f, --file <file>", "settings from a YAML file"),
  ).action((name: string, slug: string, settings: string[], flags: ChangeFlags & { file?: string }) =>
    cli.withConnection((connection) => {
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
      cli.withConnection((connection) =>
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
        cli.withConnection((connection) => {
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
      cli.withConnection(async ({ fleet }) => {
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
}
