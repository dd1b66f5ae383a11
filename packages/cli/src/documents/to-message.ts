import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { nearestName } from "@decnet/common/runtime/nearest";
import type { Node } from "yaml";
import { parseDuration } from "../text/duration.ts";
import { UsageError } from "../usage-error.ts";
import { booleanOf, type Document, type Entry, entriesOf, itemsOf, numberOf, openDocument, textOf } from "./document.ts";
import { type SettingsRules, toSettings } from "./to-settings.ts";

/** A file as a message: each word is what its field says. Throws UsageError with file, line and column of everything wrong. */
export function readMessage<Desc extends DescMessage>(file: string, desc: Desc, rules: SettingsRules): MessageShape<Desc> {
  return toMessage(openDocument(file), desc, rules);
}

export function toMessage<Desc extends DescMessage>(document: Document, desc: Desc, rules: SettingsRules): MessageShape<Desc> {
  const json = toObject(document, document.root, desc, "the file", rules);
  document.check();
  try {
    return fromJson(desc, json);
  } catch (error) {
    throw new UsageError(`${document.file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The settings of one service as a file of their own. */
export function readSettings(file: string, slug: string, rules: SettingsRules): JsonObject {
  const document = openDocument(file);
  const settings = toSettings(document, document.root, slug, rules);
  document.check();
  return settings;
}

function toObject(document: Document, node: Node, desc: DescMessage, what: string, rules: SettingsRules): JsonObject {
  const entries = entriesOf(document, node, what);
  const found: [string, JsonValue][] = [];
  const seen = new Set<DescField>();
  for (const entry of entries) {
    const field = desc.fields.find((each) => each.jsonName === entry.key || each.name === entry.key);
    if (field === undefined) document.problem(entry.at, unknownKey(entry.key, desc));
    else if (seen.has(field)) document.problem(entry.at, `${entry.key} is there twice`);
    else {
      const value = toField(document, entry, field, entries, rules);
      if (value !== undefined) found.push([field.jsonName, value]);
    }
    if (field !== undefined) seen.add(field);
  }
  return Object.fromEntries(found);
}

function unknownKey(key: string, desc: DescMessage): string {
  const names = desc.fields.map(({ jsonName }) => jsonName);
  const near = nearestName(key, names);
  const hint = near === undefined ? `known here: ${names.join(", ")}` : `did you mean ${near}?`;
  return `unknown key ${JSON.stringify(key.slice(0, 64))}; ${hint}`;
}

function toField(
  document: Document,
  { key, at, value }: Entry,
  field: DescField,
  siblings: readonly Entry[],
  rules: SettingsRules,
): JsonValue | undefined {
  if (value === undefined) {
    if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING)
      document.problem(at, `${key} has no value; for none write "", for a word such as ~ or null write it in quotes`);
    return undefined;
  }
  const one = (node: Node): JsonValue => {
    if (field.message?.typeName === "google.protobuf.Duration") return toDuration(document, node, key);
    if (field.message !== undefined) {
      if (field.message.typeName !== "google.protobuf.Struct") return toObject(document, node, field.message, key, rules);
      return toSettings(document, node, slugAmong(document, siblings), rules);
    }
    return field.enum === undefined ? toScalar(document, node, key, field.scalar) : toEnum(document, node, key, field.enum);
  };
  if (field.fieldKind === "list") return itemsOf(document, value, key).map(one);
  if (field.fieldKind === "map")
    return Object.fromEntries(
      entriesOf(document, value, key).flatMap((entry) =>
        entry.value === undefined ? noValue(document, entry) : [[entry.key, one(entry.value)]],
      ),
    );
  return one(value);
}

/** `6h` in the file, seconds in the contract. */
function toDuration(document: Document, node: Node, what: string): JsonValue {
  const text = textOf(document, node, what);
  const ms = parseDuration(text);
  if (ms === undefined)
    document.problem(node, `${what} is a time such as 30m, 6h or 1d, not ${JSON.stringify(text.slice(0, 64))}`);
  return `${(ms ?? 0) / 1_000}s`;
}

function noValue(document: Document, { key, at }: Entry): [] {
  document.problem(at, `${key} has no value; write "" for an empty text`);
  return [];
}

/** The service whose settings stand beside its name. */
function slugAmong(document: Document, siblings: readonly Entry[]): string {
  const name = siblings.find(({ key }) => key === "slug" || key === "service")?.value;
  return name === undefined ? "" : textOf(document, name, "service");
}

function toScalar(document: Document, node: Node, what: string, type: ScalarType | undefined): JsonValue {
  if (type === ScalarType.BOOL) return booleanOf(document, node, what);
  if (type === ScalarType.STRING || type === ScalarType.BYTES) return textOf(document, node, what);
  return numberOf(document, node, what);
}

function toEnum(document: Document, node: Node, what: string, desc: DescEnum): string {
  const text = textOf(document, node, what);
  const names = desc.values.map(({ name }) => name);
  const prefix = (desc.sharedPrefix ?? "").toUpperCase();
  const known = names.find((name) => name === text || name === `${prefix}${text.toUpperCase().replaceAll("-", "_")}`);
  if (known !== undefined) return known;
  const short = names.map((name) => name.slice(prefix.length));
  const near = nearestName(text.toUpperCase().replace(prefix, ""), short);
  const hint = near === undefined ? `one of ${names.join(", ")}` : `did you mean ${prefix}${near}?`;
  document.problem(node, `${what} is not ${JSON.stringify(text.slice(0, 64))}; ${hint}`);
  return names[0] ?? "";
}
