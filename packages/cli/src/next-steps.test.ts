import type { NextStep } from "@decnet/contract/next-steps";
import { reasons } from "@decnet/contract/reasons";
import type { Command } from "commander";
import { expect, it } from "vitest";
import { createProgram } from "./program.ts";

/** Finds the command that the words name, and says what is wrong with the rest of them. Nothing is run. */
function findFaults(program: Command, words: readonly string[]): string[] {
  let command = program;
  let rest = [...words];
  for (;;) {
    const next = command.commands.find((each) => each.name() === rest[0]);
    if (next === undefined) break;
    command = next;
    rest = rest.slice(1);
  }
  if (command.commands.length > 0) return [`${command.name()} has no command ${rest[0]}`];
  const { operands, unknown } = command.parseOptions(rest);
  const needed = command.registeredArguments.filter((argument) => argument.required).length;
  const most = command.registeredArguments.some((argument) => argument.variadic) ? Infinity : command.registeredArguments.length;
  const missing = command.options.filter(
    (option) => option.mandatory && command.getOptionValue(option.attributeName()) === undefined,
  );
  return [
    ...(unknown.length > 0 ? [`unknown: ${unknown.join(" ")}`] : []),
    ...(operands.length < needed || operands.length > most ? [`${operands.length} arguments`] : []),
    ...missing.map((option) => `${option.flags} is missing`),
  ];
}

/** `decnet agent` is another program; the wrapper starts it. */
const commands = Object.entries(reasons).flatMap(([reason, { next }]) =>
  (next as readonly NextStep[]).flatMap(({ command }) =>
    command === undefined || command[0] === "agent" ? [] : [{ reason, command, line: command.join(" ") }],
  ),
);

/** These name the command alone; it says itself which option it needs. */
const incomplete: Readonly<Record<string, readonly string[]>> = { TOKEN_INVALID: ["--name <name> is missing"] };

it.each(commands)("$reason names a command that exists: decnet $line", async ({ reason, command }) => {
  const program = await createProgram({}, () => undefined);
  expect(findFaults(program, command)).toEqual(incomplete[reason] ?? []);
});

it.each([
  [["host", "lst"], ["host has no command lst"]],
  [["decky", "get"], ["0 arguments"]],
  [["op", "get", "op-1", "--log"], ["unknown: --log"]],
  [["host", "invite"], ["--name <name> is missing"]],
])("finds what is wrong with %j", async (words, faults) => {
  const program = await createProgram({}, () => undefined);
  expect(findFaults(program, words)).toEqual(faults);
});
