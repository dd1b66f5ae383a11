import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading } from "../flags.ts";
import { UsageError } from "../usage-error.ts";

/**
 * `decnet up` and `decnet down` are scripts of a checkout: they install what is missing, this program included. The `./decnet`
 * wrapper runs them instead of this program, which only explains them.
 */
export function registerMachine(program: Command, cli: Cli): void {
  const acts = [
    ["up", "Set this machine up, start a master and deploy the example fleet."],
    ["down", "Stop this machine's master; its deckies keep running."],
  ] as const;
  for (const [name, text] of acts)
    reading(program.command(name).description(text), {
      examples: [name, `${name} && decnet status`, `${name} --help`],
    }).action(() =>
      cli.run(() => {
        throw new UsageError(`${name} belongs to a checkout of decnet-swarm: run ./decnet ${name} there, as root`);
      }),
    );
}
