import { version } from "@decnet/common/version";
import { Command } from "commander";
import type { Cli } from "./cli.ts";
import { registerBatch } from "./commands/batch.ts";
import { registerCatalog } from "./commands/catalog.ts";
import { registerCompletion } from "./commands/completion.ts";
import { registerContext } from "./commands/context.ts";
import { registerDecky } from "./commands/decky.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerEvents } from "./commands/events.ts";
import { registerFleet } from "./commands/fleet.ts";
import { registerHost } from "./commands/host.ts";
import { registerMachine } from "./commands/machine.ts";
import { registerOp } from "./commands/op.ts";
import { registerService } from "./commands/service.ts";
import { registerStatus } from "./commands/status.ts";
import { registerAudit, registerToken } from "./commands/token.ts";
import { registerVersion } from "./commands/version.ts";
import { registerWhoami } from "./commands/whoami.ts";
import { connect } from "./connection.ts";
import { readContextFile } from "./contexts/context-file.ts";
import { type Choice, chooseContext } from "./contexts/contexts.ts";
import { reportFailure } from "./failure.ts";
import { exitCodes, formOf, type ReadFlags } from "./flags.ts";
import { isForm } from "./forms.ts";
import { chooseLook } from "./look.ts";
import { setLook } from "./output.ts";

/** One entry per group of commands, in the order of `decnet --help`. A new group is a file in commands/ and a line here. */
const groups: readonly ((program: Command, cli: Cli) => void)[] = [
  registerMachine,
  registerStatus,
  registerDecky,
  registerService,
  registerBatch,
  registerFleet,
  registerHost,
  registerOp,
  registerEvents,
  registerToken,
  registerAudit,
  registerCatalog,
  registerContext,
  registerWhoami,
  registerDoctor,
  registerCompletion,
  registerVersion,
];

interface Globals extends Choice, ReadFlags {
  readonly color: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** The whole command tree. Every action reports its own failure and its exit code. */
export function createProgram(env: Readonly<Record<string, string | undefined>>, onExit: (code: number) => void): Command {
  const program = new Command("decnet")
    .description("Change decoy services on live deckies.")
    .version(version, "--version", "this program's version")
    .option("--context <name>", "the master to talk to, by its name in the contexts file")
    .option("--address <url>", "where the master is, instead of a context's address")
    .option("--token <token>", "bearer token; DECNET_TOKEN is better, arguments are visible to others")
    .option("--token-file <file>", "where the token is")
    .option("--ca <file>", "the certificate authority of an https:// master, PEM; instead of a context's")
    .option("--insecure", "let the token go over http:// to another machine")
    .option("-o, --output <form>", "table, wide, json, jsonl, yaml or name")
    .option("--json", "the same as -o json")
    .option("-q, --quiet", "no plan and no progress, only results and failures")
    .option("-v, --verbose", "every step, every cause, every call")
    .option("--no-color", "no colours; NO_COLOR and TERM=dumb do the same")
    .addHelpText("after", exitCodes)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text) });

  const globals = () => program.opts<Globals>();
  const form = () => {
    const { json, output } = globals();
    return json === true ? "json" : output !== undefined && isForm(output) ? output : "table";
  };
  program.hook("preAction", (_, action) => {
    const { json, output, color, quiet, verbose } = globals();
    action.setOptionValue("json", json);
    action.setOptionValue("output", output);
    setLook(
      chooseLook({
        env,
        stderrIsTerminal: process.stderr.isTTY === true,
        noColour: !color,
        quiet: quiet === true,
        verbose: verbose === true,
      }),
    );
  });
  const fromEnv = {
    context: env["DECNET_CONTEXT"] || undefined,
    address: env["DECNET_ADDRESS"] || undefined,
    token: env["DECNET_TOKEN"] || undefined,
    tokenFile: env["DECNET_TOKEN_FILE"] || undefined,
    ca: env["DECNET_CA"] || undefined,
  };
  const cli: Cli = {
    env,
    flags: globals,
    chosen: () => chooseContext(globals(), fromEnv, readContextFile(env)),
    async run(work) {
      try {
        formOf(globals());
        onExit((await work()) ?? 0);
      } catch (error) {
        onExit(await reportFailure(error, form()));
      }
    },
    withConnection: (work) =>
      cli.run(async () => {
        const connection = connect(cli.chosen());
        try {
          return await work(connection);
        } catch (error) {
          return await reportFailure(error, form(), connection);
        } finally {
          connection.close();
        }
      }),
  };
  for (const register of groups) register(program, cli);
  return program;
}
