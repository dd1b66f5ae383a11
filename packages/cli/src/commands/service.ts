import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { AppError } from "@decnet/common/errors/app-error";
import { toConnectError } from "@decnet/common/rpc/errors";
import { ServiceSchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { UpdateMode } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import { parseDecky } from "../deckies.ts";
import { parseSettings, settingsRules } from "../documents/parse-settings.ts";
import { changing, reading, type SettingsFlags, takingSettings } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { print, printRaw } from "../output.ts";
import { askHidden } from "../prompts.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { formatService } from "../text/decky.ts";
import { UsageError } from "../usage-error.ts";

/** `decnet service …` */
export function registerService(program: Command, cli: Cli): void {
  const service = program.command("service").description("Change one service of one decky.");
  changing(
    takingSettings(
      service
        .command("add <decky> <slug> [settings...]")
        .description("Add a service; nothing else is touched.")
        .option("-f, --file <file>", "settings from a YAML file, - for standard input"),
    ),
    {
      examples: [
        'service add web-07 redis maxmemory_mb=32 --reason "ticket 4712"',
        "service add web-07 ssh password=@secret.txt",
        "service add web-07 ftp --plan",
      ],
      rpc: "MutationService/AddService",
      body: '{"decky":{"name":"web-07"},"service":"redis","config":{"maxmemory_mb":32}}',
    },
  ).action((name: string, slug: string, settings: string[], flags: ChangeFlags & SettingsFlags) =>
    cli.withConnection(async (connection) => {
      const from = { file: flags.file, slug, rules: await settingsRules(connection, flags) };
      const { config, plain } = await parseSettings(settings, from, askHidden);
      return runChange({
        flags,
        connection,
        asks: false,
        plainKeys: plain,
        question: `Add ${slug} to ${name}`,
        submit: (options) => connection.mutations.addService({ decky: parseDecky(name), service: slug, config, options }),
      });
    }),
  );
  changing(service.command("remove <decky> <slug>").description("Remove a service and its settings."), {
    examples: ["service remove web-07 ftp", "service remove web-07 ftp -y", "service remove web-07 ssh --wait-idle 10m"],
    rpc: "MutationService/RemoveService",
    body: '{"decky":{"name":"web-07"},"service":"ftp"}',
  }).action((name: string, slug: string, flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        question: `Remove ${slug} from ${name}`,
        submit: (options) => connection.mutations.removeService({ decky: parseDecky(name), service: slug, options }),
      }),
    ),
  );
  registerUpdate(service, cli, "set", "Change some settings; the others stay.", UpdateMode.MERGE);
  registerUpdate(service, cli, "replace", "Change all settings; secrets that are not named stay.", UpdateMode.REPLACE);
  registerGet(service, cli);
}

interface UpdateFlags extends ChangeFlags, SettingsFlags {
  readonly save?: boolean;
  readonly clearSecret?: string[];
  readonly applyStaged?: boolean;
}

function registerUpdate(service: Command, cli: Cli, verb: "set" | "replace", text: string, mode: UpdateMode): void {
  changing(
    takingSettings(service.command(`${verb} <decky> <slug> [settings...]`))
      .description(text)
      .option("-f, --file <file>", "settings from a YAML file, - for standard input")
      .option("--save", "store only; the running container keeps its settings")
      .option("--clear-secret <key>", "forget a secret; repeatable", (key: string, before: string[] = []) => [...before, key])
      .option("--apply-staged", "apply saved settings"),
    {
      examples: [
        `service ${verb} web-07 http fake_app=wordpress`,
        `service ${verb} web-07 ssh password=@secret.txt --accept cut-sessions`,
        `service ${verb} web-07 http fake_app=tomcat --save`,
      ],
      rpc: "MutationService/UpdateServiceConfig",
      body: JSON.stringify({
        decky: { name: "web-07" },
        service: "http",
        config: { fake_app: "wordpress" },
        mode: `UPDATE_MODE_${UpdateMode[mode]}`,
        apply: true,
      }),
    },
  ).action((name: string, slug: string, settings: string[], flags: UpdateFlags) =>
    cli.withConnection(async (connection) => {
      if (flags.applyStaged === true && flags.save === true) throw new UsageError("--save and --apply-staged exclude each other");
      const from = { file: flags.file, slug, rules: await settingsRules(connection, flags) };
      const { config: given, plain } = await parseSettings(settings, from, askHidden);
      const isStagedOnly = flags.applyStaged === true && Object.keys(given).length === 0;
      const config: { config?: JsonObject } = isStagedOnly ? {} : { config: given };
      return runChange({
        flags,
        connection,
        asks: flags.save !== true,
        plainKeys: plain,
        question: `Change ${slug} of ${name}`,
        submit: (options) =>
          connection.mutations.updateServiceConfig({
            decky: parseDecky(name),
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
}

function registerGet(service: Command, cli: Cli): void {
  reading(service.command("get <decky> <slug>").description("One service with its settings; secrets are only named."), {
    examples: ["service get web-07 ssh", "service get web-07 ssh --json", "service get web-07 http -o yaml"],
    rpc: "FleetService/GetDecky",
    body: '{"decky":{"name":"web-07"}}',
  }).action((name: string, slug: string, flags: ReadFlags) =>
    cli.withConnection(async ({ fleet }) => {
      const { decky } = await fleet.getDecky({ decky: parseDecky(name) });
      const one = decky?.services.find((each) => each.slug === slug);
      if (one === undefined)
        throw toConnectError(
          new AppError("SERVICE_NOT_PRESENT", `${JSON.stringify(slug)} is not on ${name}`, {
            metadata: { decky: name, service: slug },
          }),
        );
      const form = formOf(flags);
      if (form !== "table" && form !== "wide") {
        printRaw(formatDocument(form, toJson(ServiceSchema, one)));
        return undefined;
      }
      print(formatService(name, one));
      return undefined;
    }),
  );
}
