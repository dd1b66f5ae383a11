import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { hostTransitions } from "@decnet/master/model/host";
import { operationTransitions } from "@decnet/master/model/operation-phase";
import { describe, expect, test } from "vitest";
import { root } from "./cruise.ts";

const tables: readonly (readonly [heading: string, transitions: Readonly<Record<string, readonly string[]>>])[] = [
  ["An operation", operationTransitions],
  ["A worker", hostTransitions],
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
