import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import { nearestName } from "@decnet/common/runtime/nearest";
import { numberAsText, unprintable, unwritable } from "./characters.ts";
import { checkPairs } from "./pairs.ts";
import type { ConfigField, ConfigValue, ServiceConfig, ServiceDefinition } from "./types.ts";
import { fitsWhole } from "./whole-text.ts";

/**
 * Turns foreign settings into settings of the service: every value gets the type that the catalog declares. An unknown key is
 * dropped (`unknownSettings` names it), a null or empty value means "not set". Throws CONFIG_INVALID with one violation per bad
 * field.
 */
export function coerceConfig(service: Pick<ServiceDefinition, "slug" | "fields">, input: unknown): ServiceConfig {
  if (input === null || input === undefined) return {};
  if (typeof input !== "object" || Array.isArray(input))
    throw invalid(service, [{ field: "config", description: "config: must be an object" }]);
  const given = new Map(Object.entries(input));
  const violations: FieldViolation[] = [];
  const config: Record<string, ConfigValue> = {};
  for (const field of service.fields) {
    const value: unknown = given.get(field.key);
    if (value === undefined || value === null || value === "") continue;
    try {
      config[field.key] = coerceValue(field, value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      violations.push({ field: `config.${field.key}`, description: `${field.key}: ${error.message}` });
    }
  }
  if (violations.length > 0) throw invalid(service, violations);
  return config;
}

const mostUnknown = 20;

/** A sentence for each key that is no setting of the service, with the one that was most likely meant. */
export function unknownSettings(service: Pick<ServiceDefinition, "slug" | "fields">, input: unknown): string[] {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return [];
  const known = service.fields.map((field) => field.key);
  const unknown = Object.keys(input).filter((key) => !known.includes(key));
  return unknown.slice(0, mostUnknown).map((key) => {
    const near = nearestName(key, known);
    const shown = /^[\w.-]{1,64}$/.test(key) ? key : JSON.stringify(key.slice(0, 64));
    return `${shown}: not a setting of ${service.slug}${near === undefined ? "" : `; did you mean ${near}?`}`;
  });
}

class Refusal extends Error {}

function invalid(service: Pick<ServiceDefinition, "slug">, violations: readonly FieldViolation[]): AppError {
  return new AppError("CONFIG_INVALID", violations.map((violation) => violation.description).join("; "), {
    violations,
    metadata: { service: service.slug },
  });
}

function coerceValue(field: ConfigField, value: unknown): ConfigValue {
  switch (field.type) {
    case "string":
    case "password":
      return coerceText(field, value, unprintable);
    case "textarea":
      return coerceText(field, decodeTextarea(value), unwritable);
    case "int":
      return coerceInt(field, value);
    case "bool":
      return coerceBool(value);
    case "enum":
      return coerceChoice(field, value);
    case "multi_enum":
      return coerceChoices(field, value);
    case "string_list":
      return coerceList(field, value);
    default:
      return field.type satisfies never;
  }
}

function coerceText(field: ConfigField, value: unknown, forbidden: RegExp): string {
  if (typeof value === "object" && field.type !== "textarea") throw new Refusal("must be text");
  const text =
    typeof value === "object" ? JSON.stringify(value) : typeof value === "number" ? numberAsText(value) : String(value);
  if (text === undefined) throw new Refusal("must be text: write this number in quotes");
  if (text.length > field.maxLength) throw new Refusal(`must have at most ${field.maxLength} characters`);
  if (forbidden.test(text)) throw new Refusal("must not hold control characters");
  if (field.maxBytes !== undefined && Buffer.byteLength(text) > field.maxBytes)
    throw new Refusal(`must have at most ${field.maxBytes} bytes`);
  const fits = field.pattern === undefined || fitsWhole(field.pattern, text);
  if (fits === undefined) throw new Refusal("takes too long to compare with the pattern of this setting");
  if (!fits) throw new Refusal(`must be ${field.expects ?? `like ${field.pattern}`}`);
  const problem = field.pairs === undefined ? undefined : checkPairs(text, field.pairs);
  if (problem !== undefined) throw new Refusal(problem);
  refuseForbidden(field, text);
  return text;
}

function refuseForbidden({ forbidden }: ConfigField, value: string | number): void {
  if (forbidden?.values.includes(value) === true) throw new Refusal(`cannot be ${value}: ${forbidden.because}`);
}

/** Settings as a caller has to give them to get them: a text that begins like an encoded one is encoded itself. */
export function asGiven<Value>(
  config: Readonly<Record<string, Value>>,
  service: Pick<ServiceDefinition, "fields"> | undefined,
): Record<string, Value | string> {
  const areas = new Set(service?.fields.filter(({ type }) => type === "textarea").map(({ key }) => key));
  const given = (key: string, value: Value) =>
    areas.has(key) && typeof value === "string" && value.startsWith("b64:")
      ? `b64:${Buffer.from(value).toString("base64")}`
      : value;
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, given(key, value)]));
}

function decodeTextarea(value: unknown): unknown {
  if (typeof value !== "string" || !value.startsWith("b64:")) return value;
  const encoded = value.slice(4);
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded) throw new Refusal("is not valid base64");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refusal("is not UTF-8 text after base64 decoding");
  }
}

function coerceInt(field: ConfigField, value: unknown): number {
  const number = typeof value === "string" && /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : value;
  const integer = typeof number === "boolean" ? Number(number) : typeof number === "number" ? Math.trunc(number) : Number.NaN;
  if (!Number.isSafeInteger(integer)) throw new Refusal("must be a whole number");
  if (field.min !== undefined && integer < field.min) throw new Refusal(`must be at least ${field.min}`);
  if (field.max !== undefined && integer > field.max) throw new Refusal(`must be at most ${field.max}`);
  refuseForbidden(field, integer);
  return integer === 0 ? 0 : integer;
}

function coerceBool(value: unknown): boolean {
  if (typeof value === "boolean") return value;
  const word = typeof value === "string" ? value.toLowerCase() : "";
  if (["true", "1", "yes", "on"].includes(word)) return true;
  if (["false", "0", "no", "off"].includes(word)) return false;
  throw new Refusal("must be true or false");
}

function coerceChoice(field: ConfigField, value: unknown): string {
  if (typeof value === "object" || !field.enum.includes(String(value)))
    throw new Refusal(`must be one of ${field.enum.join(", ")}`);
  return String(value);
}

function coerceChoices(field: ConfigField, value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) throw new Refusal(`must be a list of ${field.enum.join(", ")}`);
  const chosen = [...new Set(value.map((item) => coerceChoice(field, item)))];
  if (field.maxItems !== undefined && chosen.length > field.maxItems) throw new Refusal(tooMany(field.maxItems));
  return chosen;
}

function coerceList(field: ConfigField, value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) throw new Refusal("must be a list of texts");
  if (value.length > (field.maxItems ?? usualItems)) throw new Refusal(tooMany(field.maxItems ?? usualItems));
  return value.map((item, index) => {
    try {
      if (item === null || item === "") throw new Refusal("must not be empty");
      return coerceText(field, item, unprintable);
    } catch (error) {
      if (error instanceof Refusal) throw new Refusal(`item ${index + 1} ${error.message}`);
      throw error;
    }
  });
}

const usualItems = 64;

function tooMany(most: number): string {
  return most === 1 ? "must have one item only" : `must have at most ${most} items`;
}
