import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import type { FieldViolation } from "../../errors/app-error.ts";
import { nearestName } from "../../runtime/nearest.ts";
import type { Sliced } from "../../runtime/slices.ts";
import { findDuplicateKeys } from "./duplicate-keys.ts";

const mostViolations = 20;

/**
 * What a JSON text says that the message has no place for: unknown and duplicate fields, unknown names of enum values. Whatever
 * else is wrong with it (it need not even be JSON) is for the decoder to say.
 */
export function* checkJson(text: string, desc: DescMessage): Sliced<FieldViolation[]> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return [];
  }
  const twice = yield* findDuplicateKeys(text);
  const violations = twice
    .slice(0, mostViolations)
    .map((path) => ({ field: showPath(path), description: `duplicate field ${showPath(path)}` }));
  yield* checkMessage(document, desc, [], violations);
  return violations;
}

function* checkMessage(value: unknown, desc: DescMessage, path: readonly string[], violations: FieldViolation[]): Sliced<void> {
  yield;
  // Their JSON is not made of their fields.
  if (desc.typeName.startsWith("google.protobuf.") || !isObject(value)) return;
  const seen = new Set<DescField>();
  for (const [key, inner] of Object.entries(value)) {
    if (violations.length >= mostViolations) return;
    const at = [...path, key];
    const field = desc.fields.find((each) => each.jsonName === key || each.name === key);
    if (field === undefined) violations.push({ field: showPath(at), description: unknownField(at, desc) });
    else if (seen.has(field)) violations.push({ field: showPath(at), description: `duplicate field ${showPath(at)}` });
    else yield* checkField(inner, field, at, violations);
    if (field !== undefined) seen.add(field);
  }
}

function* checkField(value: unknown, field: DescField, path: readonly string[], violations: FieldViolation[]): Sliced<void> {
  if (field.message === undefined && field.enum === undefined) return;
  const one = function* (inner: unknown, at: readonly string[]): Sliced<void> {
    if (field.message !== undefined) yield* checkMessage(inner, field.message, at, violations);
    else if (field.enum !== undefined) checkEnum(inner, field.enum, at, violations);
  };
  if (field.fieldKind === "list") {
    if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* one(item, [...path, String(index)]);
  } else if (field.fieldKind === "map") {
    if (isObject(value)) for (const [key, item] of Object.entries(value)) yield* one(item, [...path, key]);
  } else yield* one(value, path);
}

function checkEnum(value: unknown, desc: DescEnum, path: readonly string[], violations: FieldViolation[]): void {
  if (typeof value !== "string" || desc.typeName.startsWith("google.protobuf.")) return;
  if (desc.values.some(({ name }) => name === value) || violations.length >= mostViolations) return;
  const prefix = (desc.sharedPrefix ?? "").toUpperCase();
  const short = (name: string) => (name.toUpperCase().startsWith(prefix) ? name.slice(prefix.length) : name);
  const near = nearestName(
    short(value),
    desc.values.map(({ name }) => short(name)),
  );
  const exact = desc.values.find(({ name }) => short(name) === short(value).toUpperCase())?.name;
  const meant = exact ?? (near === undefined ? undefined : `${prefix}${near}`);
  const hint = meant === undefined ? `one of ${desc.values.map(({ name }) => name).join(", ")}` : `did you mean ${meant}?`;
  violations.push({ field: showPath(path), description: `unknown value ${show(value)} of ${showPath(path)}; ${hint}` });
}

function unknownField(path: readonly string[], desc: DescMessage): string {
  const names = desc.fields.map(({ jsonName }) => jsonName);
  const near = nearestName(path.at(-1) ?? "", names);
  const known = names.length === 0 ? "there are none here" : `known here: ${names.join(", ")}`;
  return `unknown field ${showPath(path)}; ${near === undefined ? known : `did you mean ${near}?`}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `fleet.deckies[0].name` */
function showPath(path: readonly string[]): string {
  return path.map((key, index) => (/^\d+$/.test(key) ? `[${key}]` : `${index === 0 ? "" : "."}${show(key)}`)).join("");
}

function show(key: string): string {
  return /^[\w-]{1,64}$/.test(key) ? key : JSON.stringify(key.slice(0, 64));
}
