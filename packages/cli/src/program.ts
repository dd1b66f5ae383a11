import { version } from "@decnet/common/version";
import { Command } from "commander";
import type { Cli } from "./cli.ts";
import { readContextFile } from "./contexts/context-file.ts";
import { type Choice, chooseContext } from "./contexts/contexts.ts";
import { tree } from "./gen/tree.ts";
import { groups } from "./groups.ts";
import { explain } from "./help.ts";
import { chooseLook } from "./look.ts";
import { setLook } from "./output.ts";
import { named, programName } from "./program-name.ts";
import { formOf, isForm, type ReadFlags } from "./read-flags.ts";
import { operandsOf } from "./tree.ts";

interface Globals extends Choice, ReadFlags {
  readonly color: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/**
 * The command tree. Every action reports its own failure and its exit code. With the words of a command line only the group that
 * they name is loaded, and the others are there by name: that is what makes help and errors quick.
 */
export async function createProgram(
  env: Readonly<Record<string, string | undefined>>,
  onExit: (code: number) => void,
  words?: readonly string[],
): Promise<Command> {
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
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => process.stdout.write(named(text, programName(env))),
      writeErr: (text) => process.stderr.write(text),
    });

  explain(program);
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
        const { reportFailure } = await import("./failure.ts");
        onExit(await reportFailure(error, form()));
      }
    },
    withConnection: (work) =>
      cli.run(async () => {
        const { connect } = await import("./connection.ts");
        const connection = connect(cli.chosen());
        try {
          return await work(connection);
        } catch (error) {
          const { reportFailure } = await import("./failure.ts");
          return await reportFailure(error, form(), connection);
        } finally {
          connection.close();
        }
      }),
  };
  const wanted = words === undefined ? undefined : operandsOf(tree, words).find((word) => word !== "help");
  for (const { names, load } of groups)
    if (words === undefined || (wanted !== undefined && names.includes(wanted))) (await load())(program, cli);
    else for (const name of names) announce(program, name);
  return program;
}

/** A command that `--help` lists, and nothing more. */
function announce(program: Command, name: string): void {
  const node = tree.commands.find((each) => each.name === name);
  if (node !== undefined) program.command([name, ...node.args.map(({ usage }) => usage)].join(" ")).description(node.description);
}
