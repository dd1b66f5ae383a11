import { Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import { registerCatalog } from "./commands/catalog.ts";
import { registerDecky } from "./commands/decky.ts";
import { registerEvents } from "./commands/events.ts";
import { registerFleet } from "./commands/fleet.ts";
import { registerOp } from "./commands/op.ts";
import { registerService } from "./commands/service.ts";
import { registerStatus } from "./commands/status.ts";
import { registerWhoami } from "./commands/whoami.ts";
import { connect } from "./connection.ts";
import { exitCodes } from "./flags.ts";

/** One entry per group of commands, in the order of `decnet --help`. A new group is a file in commands/ and a line here. */
const groups: readonly ((program: Command, cli: Cli) => void)[] = [
  registerStatus,
  registerDecky,
  registerService,
  registerFleet,
  registerOp,
  registerEvents,
  registerCatalog,
  registerWhoami,
];

interface Globals {
  readonly address: string;
  readonly token: string;
  readonly tokenFile: string;
}

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

  const withConnection: Cli["withConnection"] = async (work) => {
    const connection = connect(program.opts<Globals>());
    try {
      onExit((await work(connection)) ?? 0);
    } finally {
      connection.close();
    }
  };
  for (const register of groups) register(program, { withConnection });
  return program;
}
