import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { shells } from "../completion/shells.ts";
import { reading } from "../flags.ts";
import { printRaw } from "../output.ts";
import { UsageError } from "../usage-error.ts";

/** `decnet completion SHELL`; the scripts call `decnet __complete`, which main.ts hands to completion/main.ts. */
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
}
