import type { Command } from "commander";
import { expect, it } from "vitest";
import { createProgram } from "./program.ts";

/** Every command that does something, with its words. */
function leaves(command: Command, words: string[] = []): [string, Command][] {
  if (command.commands.length === 0) return [[words.join(" "), command]];
  return command.commands.flatMap((each) =>
    each.name().startsWith("__") || each.name() === "help" ? [] : leaves(each, [...words, each.name()]),
  );
}

it.each(leaves(await createProgram({}, () => undefined)))(
  "decnet %s explains itself: a sentence, three examples, flags, exit codes",
  (words, command) => {
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(help).toContain(`Usage: decnet ${words}`);
    expect(command.description()).toMatch(/^[A-Z].*\.$/);
    const examples = help.split("\n").filter((line) => line.startsWith("  decnet "));
    expect(examples).toHaveLength(3);
    for (const example of examples) expect(example).toContain(`decnet ${words}`);
    expect(help).toContain("Exit codes: 0 done");
  },
);
