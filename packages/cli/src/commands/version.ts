import { version } from "@decnet/common/version";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { connect } from "../connection.ts";
import { reading } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { print, printRaw } from "../output.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";

const askAtMostMs = 2_000;

/** `decnet version` */
export function registerVersion(program: Command, cli: Cli): void {
  reading(program.command("version").description("This program's version, and the master's when it answers."), {
    examples: ["version", "version --json", "version --context prod"],
    rpc: "AccessService/WhoAmI",
  }).action((flags: ReadFlags) =>
    cli.run(async () => {
      const connection = connect(cli.chosen());
      const master = await connection.access.whoAmI({}, { timeoutMs: askAtMostMs }).catch(() => undefined);
      connection.close();
      const found = { cli: version, node: process.version, master: master?.serverVersion ?? null };
      const form = formOf(flags);
      if (form !== "table" && form !== "wide") printRaw(formatDocument(form, found));
      else print(`decnet ${found.cli}, node ${found.node}\nmaster ${found.master ?? `does not answer at ${connection.address}`}`);
      return undefined;
    }),
  );
}
