import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { complete } from "../completion/complete.ts";
import { shells } from "../completion/shells.ts";
import { reading } from "../flags.ts";
import { printRaw } from "../output.ts";
import { UsageError } from "../settings.ts";

/** `decnet completion SHELL`, and the hidden command that the shells' scripts call. */
export function registerCompletion(program: Command, cli: Cli): void {
  reading(
    program
      .command("completion <shell>")
      .description("A script that completes commands, deckies and settings: bash, zsh or fish."),
    {
      examples: [
        "completion bash > /etc/bash_completion.d/decnet",
        "completion zsh > ~/.zfunc/_decnet",
        "completion fish | source",
      ],
    },
  ).action((shell: string) =>
    cli.run(() => {
      const script = shells[shell];
      if (script === undefined) throw new UsageError(`completion is for ${Object.keys(shells).join(", ")}`);
      printRaw(script);
      return undefined;
    }),
  );
  program
    .command("__complete", { hidden: true })
    .argument("[words...]")
    .allowUnknownOption()
    .helpOption(false)
    .action((words: string[]) =>
      cli.run(async () => {
        const found = await complete(program, words, cli).catch(() => []);
        for (const { value, hint } of found) printRaw(hint === "" ? value : `${value}\t${hint}`);
        return undefined;
      }),
    );
}
