import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { tree } from "./gen/tree.ts";
import { createProgram } from "./program.ts";
import { descend, explainUnknown, type Node } from "./tree.ts";

function toNode(command: Command): Node {
  return {
    name: command.name(),
    description: command.description(),
    args: command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
      return { name: argument.name(), usage: argument.required ? `<${name}>` : `[${name}]` };
    }),
    options: command.options
      .filter((option) => !option.hidden)
      .map((option) => ({
        names: [option.long, option.short].flatMap((name) => name ?? []),
        hasValue: option.required,
        description: option.description,
      })),
    commands: command.commands.map(toNode),
  };
}

it("is what the commands themselves say; npx vitest -u writes it again", async () => {
  const program = await createProgram({}, () => undefined);
  const text = [
    "// Generated from the commands by tree.test.ts: npx vitest run --project unit packages/cli/src/tree.test.ts -u",
    'import type { Node } from "../tree.ts";',
    "",
    `export const tree: Node = ${JSON.stringify(toNode(program), null, 1)};`,
    "",
  ];
  await expect(text.join("\n")).toMatchFileSnapshot("./gen/tree.ts");
});

describe("the words of a command line", () => {
  it.each<[line: string, path: string[], operands: string[]]>([
    ["--context prod decky get web-07 -o yaml", ["decky", "get"], ["web-07"]],
    ["service set web-07 ssh --reason status banner=-", ["service", "set"], ["web-07", "ssh", "banner=-"]],
    ["decky logs -- --odd", ["decky", "logs"], ["--odd"]],
    ["fleet plan -f -", ["fleet", "plan"], []],
  ])("%s", (line, path, operands) =>
    expect(descend(tree, line.split(" "))).toMatchObject({ path, operands, unknown: undefined }),
  );

  it.each([
    ["decky explian web-07 --help", /^error: decnet decky has no command "explian"; decnet decky --help$/],
    ["decky lst", /did you mean decnet decky list\?$/],
    ["statsu", /did you mean decnet status\?$/],
    ["help hots", /did you mean decnet host\?$/],
    ["--context prod op wacth op-1", /did you mean decnet op watch\?$/],
  ])("%s is refused", (line, says) => expect(explainUnknown(tree, line.split(" "))).toMatch(says));
});
