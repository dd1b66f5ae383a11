import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { formatState } from "../text/decky.ts";
import { type Known, readKnown } from "./known.ts";

export interface Suggestion {
  readonly value: string;
  readonly hint: string;
}

/** What the last word may become. Never asks for or shows a secret. */
export async function complete(program: Command, words: readonly string[], cli: Cli): Promise<Suggestion[]> {
  const current = words.at(-1) ?? "";
  const { command, operands } = descend(program, words.slice(0, -1));
  const found = current.startsWith("-")
    ? optionsOf(program, command)
    : command.commands.length > 0
      ? subcommandsOf(command)
      : await valuesFor(command, operands, current, cli);
  return found.filter(({ value }) => value.startsWith(current));
}

/** Walks down the command tree; the rest are operands. */
function descend(program: Command, words: readonly string[]): { command: Command; operands: string[] } {
  let command = program;
  const operands: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    if (word.startsWith("-")) {
      const option = [...command.options, ...program.options].find((each) => each.long === word || each.short === word);
      if (option?.required === true) index += 1;
      continue;
    }
    const next = operands.length === 0 ? command.commands.find((each) => each.name() === word) : undefined;
    if (next === undefined) operands.push(word);
    else command = next;
  }
  return { command, operands };
}

function subcommandsOf(command: Command): Suggestion[] {
  return command.commands
    .filter((each) => !each.name().startsWith("__"))
    .map((each) => ({ value: each.name(), hint: each.description() }));
}

function optionsOf(program: Command, command: Command): Suggestion[] {
  return [...command.options, ...program.options]
    .filter((option) => !option.hidden)
    .map((option) => ({ value: option.long ?? option.flags, hint: option.description }));
}

async function valuesFor(command: Command, operands: readonly string[], current: string, cli: Cli): Promise<Suggestion[]> {
  const group = command.parent?.name() ?? "";
  const takesDecky = (group === "decky" && command.name() !== "list") || group === "service";
  const takesSlug = group === "catalog" && command.name() === "get";
  if (!takesDecky && !takesSlug) return [];
  const known = await readKnown(cli);
  if (takesSlug) return operands.length === 0 ? known.services.map(({ slug, summary }) => ({ value: slug, hint: summary })) : [];
  if (operands.length === 0)
    return known.deckies.map((each) => ({ value: each.name, hint: `${formatState(each.state)} on ${each.host}` }));
  if (operands.length === 1) return slugsFor(command.name(), operands[0] ?? "", known);
  return group === "service" && operands.length >= 2 ? settingsFor(operands[1] ?? "", current, known) : [];
}

/** `add` offers services that the decky does not have, every other verb those that it has. */
function slugsFor(verb: string, decky: string, known: Known): Suggestion[] {
  const present = known.deckies.find((each) => each.name === decky)?.services ?? [];
  return known.services
    .filter(({ slug }) => (verb === "add" ? !present.includes(slug) : present.includes(slug)))
    .map(({ slug, summary }) => ({ value: slug, hint: summary }));
}

function settingsFor(slug: string, current: string, known: Known): Suggestion[] {
  const fields = known.services.find((each) => each.slug === slug)?.fields ?? [];
  const field = fields.find(({ key }) => current.startsWith(`${key}=`));
  if (field === undefined) return fields.map(({ key, help, secret }) => ({ value: `${key}=${secret ? "@" : ""}`, hint: help }));
  return field.values.map((value) => ({ value: `${field.key}=${value}`, hint: "" }));
}
