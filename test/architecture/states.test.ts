import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createProgram } from "@decnet/cli/program";
import {
  deckyExits,
  type ExitTable,
  hostExits,
  operationExits,
  serviceExits,
  standingExits,
  topologyExits,
} from "@decnet/master/model/exits";
import { hostTransitions } from "@decnet/master/model/host";
import { operationTransitions } from "@decnet/master/model/operation-phase";
import { topologyTransitions } from "@decnet/master/model/topology";
import { describe, expect, test } from "vitest";
import { root } from "./cruise.ts";

const tables: readonly (readonly [heading: string, transitions: Readonly<Record<string, readonly string[]>>])[] = [
  ["An operation", operationTransitions],
  ["A worker", hostTransitions],
  ["A topology", topologyTransitions],
];

describe.each(tables)("docs/states.md: %s", (heading, transitions) => {
  const states = Object.keys(transitions);
  const arrows = Object.entries(transitions).flatMap(([from, all]) => all.map((to) => `${from} --> ${to}`));

  const readChapter = async () => {
    const text = await readFile(join(root, "docs/states.md"), "utf8");
    const chapter = text.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
    const drawn = [...chapter.matchAll(/^ {2}(\S+) --> (\S+)$/gm)].map(([, from, to]) => `${from} --> ${to}`);
    const rows = [...chapter.matchAll(/^\| `(\w+)` \| (?:`(\w+)` )?/gm)].map(([, first, second]) => [first, second] as const);
    return { drawn, rows };
  };

  test("draws exactly the transitions of the table", async () => {
    const { drawn } = await readChapter();
    expect(drawn.filter((arrow) => !arrow.includes("[*]")).sort()).toEqual([...arrows].sort());
  });

  test("draws an end for exactly the states that lead nowhere", async () => {
    const { drawn } = await readChapter();
    const ends = states.filter((state) => transitions[state]?.length === 0);
    expect(drawn.filter((arrow) => arrow.endsWith("[*]"))).toEqual(ends.map((state) => `${state} --> [*]`));
  });

  test("says of every state what it means, and of every transition what brings it on", async () => {
    const { rows } = await readChapter();
    const described = rows.map(([first, second]) => (second === undefined ? first : `${first} --> ${second}`));
    expect(described.sort()).toEqual([...states, ...arrows].sort());
  });
});

const exitTables: readonly (readonly [heading: string, exits: ExitTable<string>])[] = [
  ["A decky, as it was seen", deckyExits],
  ["A decky, and what is still to be done about it", standingExits],
  ["A service", serviceExits],
  ["An operation", operationExits],
  ["A worker", hostExits],
  ["A topology", topologyExits],
];

const formatExits = (exits: ExitTable<string>): string[] =>
  Object.entries(exits).map(([state, exit]) => {
    if (exit.kind !== "exits") return `| \`${state}\` | ${exit.kind === "good" ? "is as wanted" : "is an end"} | |`;
    return `| \`${state}\` | ${exit.itself} | ${exit.command === "" ? "" : `\`decnet ${exit.command}\` `}|`;
  });

describe.each(exitTables)("the exits of states: %s", (heading, exits) => {
  test("stand in docs/states.md as they stand in the code", async () => {
    const text = await readFile(join(root, "docs/states.md"), "utf8");
    const chapter = text.split(/^## /m).find((each) => each.startsWith("Exits\n")) ?? "";
    const section = chapter.split(/^### /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
    expect([...section.matchAll(/^\| `.*$/gm)].map(([row]) => row)).toEqual(formatExits(exits));
  });

  test("are there: by itself, or by a command", () => {
    const closed = Object.entries(exits).filter(([, exit]) => exit.kind === "exits" && exit.itself === "" && exit.command === "");
    expect(closed).toEqual([]);
  });

  test("name commands that there are, with their arguments", async () => {
    const program = await createProgram({}, () => undefined);
    const commands = Object.values(exits).flatMap((exit) => (exit.kind === "exits" && exit.command !== "" ? [exit.command] : []));
    expect(commands.filter((line) => !isCommand(program, line.split(" ")))).toEqual([]);
  });
});

test("an operation ends in exactly the phases that have no exit", () => {
  const ends = Object.entries(operationTransitions).flatMap(([phase, next]) => (next.length === 0 ? [phase] : []));
  expect(Object.entries(operationExits).flatMap(([phase, exit]) => (exit.kind === "end" ? [phase] : []))).toEqual(ends);
});

/** `host decommission HOST --force`: the words of a command, a word for each of its arguments, and options that it has. */
function isCommand(program: Awaited<ReturnType<typeof createProgram>>, words: readonly string[]): boolean {
  let command = program;
  const rest = [...words];
  for (;;) {
    const next = command.commands.find((each) => each.name() === rest[0]);
    if (next === undefined) break;
    command = next;
    rest.shift();
  }
  const { operands, unknown } = command.parseOptions(rest);
  return command.commands.length === 0 && unknown.length === 0 && operands.length === command.registeredArguments.length;
}
