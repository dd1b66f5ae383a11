import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { coerceConfig } from "./coerce.ts";
import type { ConfigField, FieldType, ServiceDefinition } from "./types.ts";

const field = (key: string, type: FieldType, more: Partial<ConfigField> = {}): ConfigField => ({
  key,
  type,
  label: key,
  default: undefined,
  enum: type === "enum" || type === "multi_enum" ? ["red", "blue"] : [],
  secret: false,
  help: "",
  placeholder: "",
  env: undefined,
  emit: "when_set",
  min: undefined,
  max: undefined,
  maxLength: 10,
  ...more,
});

const service = {
  slug: "sample",
  fields: [
    field("text", "string"),
    field("pass", "password"),
    field("area", "textarea", { maxLength: 100 }),
    field("count", "int", { min: 0, max: 99 }),
    field("flag", "bool"),
    field("colour", "enum"),
    field("colours", "multi_enum"),
  ],
} satisfies Pick<ServiceDefinition, "slug" | "fields">;

describe("settings are coerced as declared", () => {
  it.each([
    ["nothing", null, {}],
    ["an empty object", {}, {}],
    ["an unknown key is dropped", { other: 1 }, {}],
    ["null means not set", { text: null }, {}],
    ["empty text means not set", { text: "" }, {}],
    ["a number becomes text", { text: 5 }, { text: "5" }],
    ["a password is text", { pass: true }, { pass: "true" }],
    ["a textarea keeps its lines", { area: "a\nb" }, { area: "a\nb" }],
    ["a textarea in base64 is decoded", { area: "b64:aMOp" }, { area: "hé" }],
    ["a mark at the beginning is part of the text", { area: "b64:77u/aA==" }, { area: "\ufeffh" }],
    ["an object in a textarea becomes JSON", { area: { a: 1 } }, { area: '{"a":1}' }],
    ["numeric text becomes a number", { count: " 7 " }, { count: 7 }],
    ["a float is truncated", { count: 7.9 }, { count: 7 }],
    ["a boolean becomes 0 or 1", { count: true }, { count: 1 }],
    ["a word for true", { flag: "YES" }, { flag: true }],
    ["a word for false", { flag: "off" }, { flag: false }],
    ["an allowed value", { colour: "red" }, { colour: "red" }],
    ["a list without duplicates, in order", { colours: ["blue", "red", "blue"] }, { colours: ["blue", "red"] }],
  ])("%s", (_, input, output) => expect(coerceConfig(service, input)).toEqual(output));

  it.each([
    ["bad base64", { area: "b64:?" }],
    ["base64 that is not UTF-8", { area: "b64:/w==" }],
    ["no number", { count: "many" }],
    ["a number that is too large", { count: 100 }],
    ["a number for a flag", { flag: 1 }],
    ["a value that is not allowed", { colour: "green" }],
    ["an empty list", { colours: [] }],
    ["no list", { colours: "red" }],
    ["an item that is not allowed", { colours: ["red", "green"] }],
    ["a line break in text", { text: "a\nb" }],
    ["a control character", { area: "a\u0000" }],
    ["text that is too long", { text: "12345678901" }],
    ["an object for text", { text: { a: 1 } }],
    ["a number that JSON does not keep, for text", { pass: 2 ** 60 }],
    ["a fraction for text, which may have been 1.50", { text: 1.5 }],
    ["no number for text", { text: Number.NaN }],
  ])("%s is refused, naming the field", (_, input) => {
    const [key] = Object.keys(input);
    let caught: unknown;
    try {
      coerceConfig(service, input);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(AppError);
    expect((caught as AppError).message.startsWith(`${key}: `)).toBe(true);
    expect((caught as AppError).violations.map((violation) => violation.field)).toEqual([`config.${key}`]);
  });

  it("keys of the object prototype are harmless", () => {
    expect(coerceConfig(service, JSON.parse('{"__proto__":{"text":"x"},"constructor":"y"}'))).toEqual({});
  });
});
