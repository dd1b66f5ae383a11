import { describe, expect, it } from "vitest";
import { type ContextFile, chooseContext, parseContextFile, toDocument } from "./contexts.ts";

const file: ContextFile = parseContextFile({
  current: "lab",
  contexts: [
    { name: "lab", address: "http://lab:1", tokenFile: "lab.token" },
    { name: "prod", address: "http://prod:1", tokenFile: "prod.token", protected: true, colour: "red", confirm: "always" },
  ],
});
const none: ContextFile = { current: undefined, contexts: [] };

describe("the chosen master", () => {
  it.each<[string, Parameters<typeof chooseContext>, [string, string, string, string]]>([
    [
      "is this machine's without any setting",
      [{}, {}, none],
      ["local", "http://127.0.0.1:7440", "/var/lib/decnet/master/admin.token", ""],
    ],
    ["is the file's default", [{}, {}, file], ["lab", "http://lab:1", "lab.token", ""]],
    ["is the environment's context before that", [{}, { context: "prod" }, file], ["prod", "http://prod:1", "prod.token", ""]],
    [
      "is the environment's address",
      [{}, { address: "http://x:1", token: "t" }, file],
      ["http://x:1", "http://x:1", "/var/lib/decnet/master/admin.token", "t"],
    ],
    [
      "is the flag's context before the environment",
      [{ context: "prod" }, { context: "lab", address: "http://x:1", token: "t" }, file],
      ["prod", "http://prod:1", "prod.token", ""],
    ],
    [
      "is the flag's address before everything",
      [{ address: "http://y:1" }, { context: "lab", token: "t" }, file],
      ["http://y:1", "http://y:1", "/var/lib/decnet/master/admin.token", "t"],
    ],
    [
      "takes the flag's token",
      [{ context: "prod", token: "u" }, { token: "t" }, file],
      ["prod", "http://prod:1", "prod.token", "u"],
    ],
  ])("%s", (_, args, [name, address, tokenFile, token]) => {
    expect(chooseContext(...args)).toMatchObject({ name, address, tokenFile, token });
  });

  it("may send its token in clear where that was said of it, and nowhere else", () => {
    const far = parseContextFile({ contexts: [{ name: "far", address: "http://far:1", tokenFile: "t", insecure: true }] });
    const insecure = (...args: Parameters<typeof chooseContext>) => chooseContext(...args).insecure;
    expect(insecure({ context: "far" }, {}, far)).toBe(true);
    expect(insecure({ context: "far", address: "http://near:1" }, {}, far)).toBe(false);
    expect(insecure({}, { address: "http://far:1" }, far)).toBe(false);
    expect(insecure({ context: "far", address: "http://near:1", insecure: true }, {}, far)).toBe(true);
    expect(insecure({}, {}, parseContextFile({ contexts: [{ name: "local", address: "http://x:1", insecure: "yes" }] }))).toBe(
      false,
    );
  });

  it("names the line that adds an unknown one", () => {
    expect(() => chooseContext({ context: "qa" }, {}, file)).toThrow("decnet context add qa --address");
  });
});

it("reads back what it writes", () => {
  expect(parseContextFile(toDocument(file))).toEqual(file);
});

it.each([
  [{ contexts: {} }, "contexts must be a list"],
  [{ contexts: [{ name: "a" }] }, "contexts[0] needs a name and an address"],
  [{ contexts: [{ name: "a", address: "b", confirm: "maybe" }] }, "confirm is one of"],
  [[], "must hold a map"],
])("refuses %j", (document, sentence) => {
  expect(() => parseContextFile(document)).toThrow(sentence);
});
