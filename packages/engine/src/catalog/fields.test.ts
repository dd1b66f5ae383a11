import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { checkFields } from "./check-fields.ts";
import { coerceConfig, unknownSettings } from "./coerce.ts";
import { formatPairs } from "./pairs.ts";
import type { ConfigField } from "./types.ts";

const field = (more: Partial<ConfigField>): ConfigField => ({
  key: "key",
  type: "string",
  label: "",
  default: undefined,
  enum: [],
  secret: false,
  help: "",
  placeholder: "",
  env: undefined,
  emit: "when_set",
  min: undefined,
  max: undefined,
  maxLength: 100,
  ...more,
});

const coerce = (rule: Partial<ConfigField>, value: unknown) => {
  try {
    return coerceConfig({ slug: "sample", fields: [field(rule)] }, { key: value })["key"];
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
};

describe("a field says what is possible", () => {
  const name: Partial<ConfigField> = {
    pattern: "[a-z.]+",
    expects: "a name such as j.doe",
    forbidden: { values: ["root"], because: "the system has it" },
  };
  const code: Partial<ConfigField> = { type: "int", min: 200, max: 599, forbidden: { values: [204], because: "it has no body" } };
  const list: Partial<ConfigField> = { ...name, type: "string_list", maxItems: 2 };
  it.each<[string, Partial<ConfigField>, unknown, unknown]>([
    ["a text that fits its pattern", name, "j.doe", "j.doe"],
    ["a text that does not, as a whole", name, "j.doe;id", "key: must be a name such as j.doe"],
    ["a line break at its end", name, "j.doe\n", "key: must not hold control characters"],
    ["a forbidden text", name, "root", "key: cannot be root: the system has it"],
    ["a forbidden number, also as text", code, "204", "key: cannot be 204: it has no body"],
    ["as many bytes as there may be", { maxBytes: 4 }, "éé", "éé"],
    ["more bytes", { maxBytes: 4 }, "ééx", "key: must have at most 4 bytes"],
    ["a list", list, ["a", "b"], ["a", "b"]],
    ["a list with an item that does not fit", list, ["a", "B"], "key: item 2 must be a name such as j.doe"],
    ["a list with a forbidden item", list, ["root"], "key: item 1 cannot be root: the system has it"],
    ["a list with an empty item", list, [""], "key: item 1 must not be empty"],
    ["a list that is too long", list, ["a", "b", "c"], "key: must have at most 2 items"],
    ["a text for a list", list, "a", "key: must be a list of texts"],
    [
      "choices of which one is possible",
      { type: "multi_enum", enum: ["a", "b"], maxItems: 1 },
      ["a", "b"],
      "key: must have one item only",
    ],
  ])("%s", (_, rule, value, expected) => expect(coerce(rule, value)).toEqual(expected));

  it.each(["\u0085", "\u009b", "\u2028", "\u2029", "\ufffe", "\uffff", "\u{1fffe}", "\ufdd0", "\ud800", "a\udc00", "\u007f"])(
    "text of one line never holds %j",
    (character) => {
      for (const type of ["string", "password"] as const)
        expect(coerce({ type }, `a${character}b`)).toBe("key: must not hold control characters");
    },
  );

  it.each(["\u0085", "\u009b", "\u2028", "\ufffe", "\ufeff"])("a text area takes %j as it is", (character) => {
    expect(coerce({ type: "textarea" }, `a${character}b`)).toBe(`a${character}b`);
  });

  it.each(["\u0000", "\u001b", "\u007f", "\ud800"])("a text area never holds %j", (character) => {
    expect(coerce({ type: "textarea" }, `a${character}b`)).toBe("key: must not hold control characters");
  });
});

describe("named values", () => {
  const rule: Partial<ConfigField> = {
    type: "textarea",
    pairs: {
      name: "[A-Za-z-]+",
      value: "[!-~]([ -~]*[!-~])?",
      forbidden: { values: ["Connection"], because: "the server sets it" },
    },
  };
  it.each<[string, unknown, string]>([
    ["lines", " A : 1 \r\n\nB-C:x: y", "A: 1\nB-C: x: y"],
    ["a JSON text", '{"A":"\\u0041","B":2,"C":true}', "A: A\nB: 2\nC: true"],
    ["an object", { A: '"' }, 'A: "'],
  ])("are given as %s", (_, given, lines) => {
    expect(formatPairs(coerce(rule, given) as string)).toBe(lines);
  });

  it.each<[string, unknown, string]>([
    ["a line without a colon", "A: 1\nB", 'key: "B" is not "Name: value"'],
    ["broken JSON", '{"A":"1"', "key: begins like a JSON object and is none"],
    ["a list", ["A: 1"], 'key: "[\\"A" is not a name that can be here'],
    ["a value that is none", { A: { B: 1 } }, 'key: the value of "A" is not text'],
    ["a null", { A: null }, 'key: the value of "A" is not text'],
    ["a number that JSON does not keep", '{"A":12345678901234567890}', 'key: the value of "A" is not text'],
    ["half a character in JSON", '{"A":"\\ud800"}', 'key: the value of "A" cannot be sent'],
    ["a line break in a value", { A: "1\r\nSet-Cookie: x" }, 'key: the value of "A" cannot be sent'],
    ["an empty value", "A:", 'key: the value of "A" cannot be sent'],
    ["a name with a blank", { "A B": "1" }, 'key: "A B" is not a name that can be here'],
    ["a name twice", "A: 1\na: 2", 'key: "a" is there twice'],
    ["a name twice in JSON", '{"A":"1","A":"2"}', 'key: "A" is there twice'],
    ["a name that is not free", { connection: "close" }, 'key: "connection" cannot be here: the server sets it'],
  ])("are refused: %s", (_, given, message) => expect(coerce(rule, given)).toBe(message));
});

it("named values hold no line break and no half a character, whatever the rule allows", () => {
  const rule: Partial<ConfigField> = { type: "textarea", pairs: { name: "[^]*", value: "[^]*" } };
  for (const odd of ["\n", "\r", "\u0000", "\u0085", "\u2028", "\ufffe", "\ud800"]) {
    expect(coerce(rule, { A: `a${odd}b` })).toBe('key: the value of "A" cannot be sent');
    expect(coerce(rule, { [`a${odd}b`]: "A" })).toMatch(/is not a name that can be here$/);
  }
});

it("a key that is no setting is named with the one that was meant", () => {
  const http = { slug: "http", fields: [field({ key: "server_header" }), field({ key: "response_code" })] };
  expect(unknownSettings(http, { sever_header: "x", serverHeader: 1, response: 2, "a\nb": 3, server_header: "y" })).toEqual([
    "sever_header: not a setting of http; did you mean server_header?",
    "serverHeader: not a setting of http; did you mean server_header?",
    "response: not a setting of http; did you mean response_code?",
    '"a\\nb": not a setting of http',
  ]);
  expect(unknownSettings(http, Object.fromEntries(Array.from({ length: 99 }, (_, index) => [`k${index}`, 1])))).toHaveLength(20);
  expect(unknownSettings(http, undefined)).toEqual([]);
});

it("a catalog with a rule that cannot be is refused", () => {
  const problems = (more: Partial<ConfigField>) =>
    checkFields("s", [field(more)]).map(({ key, problem }) => `${key}: ${problem}`);
  expect(problems({ env: "A" })).toEqual([]);
  expect(problems({ env: "A", type: "textarea", maxLength: 65_536 })).toEqual([
    "env: may be too large for the environment: make it a file, or limit it by max_bytes",
  ]);
  expect(problems({ env: "A", type: "textarea", maxLength: 65_536, maxBytes: 1_000 })).toEqual([]);
  expect(problems({ default: "x", pattern: "y", expects: "y" })).toEqual(["default: key: must be y"]);
  expect(problems({ pattern: "y" })).toEqual(["expects: says in words what the pattern is"]);
  expect(problems({ secret: true, env: "A" })).toEqual(["env: a secret is a file, never an environment variable"]);
});
