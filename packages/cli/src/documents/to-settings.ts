import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { nearestName } from "@decnet/common/runtime/nearest";
import { type CatalogEntry, type ConfigField, FieldType } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { isMap, isScalar, isSeq, type Node } from "yaml";
import { booleanOf, type Document, entriesOf, itemsOf, numberOf, textOf } from "./document.ts";

/** How settings of services are read. */
export interface SettingsRules {
  readonly services: ReadonlyMap<string, CatalogEntry>;
  /** Keys that are no setting of the service are sent all the same; the master leaves them out. */
  readonly ignoreUnknown: boolean;
}

/** The settings of one service in a file. Of a service that is not on offer nothing is known; the master refuses it. */
export function toSettings(document: Document, node: Node, slug: string, rules: SettingsRules): JsonObject {
  const entry = rules.services.get(slug);
  const settings: [string, JsonValue][] = [];
  for (const { key, at, value } of entriesOf(document, node, "config")) {
    const field = entry?.fields.find((each) => each.key === key);
    if (entry !== undefined && field === undefined && !rules.ignoreUnknown) document.problem(at, unknownSetting(key, entry));
    if (value !== undefined) settings.push([key, toValue(document, value, key, field)]);
    else if (field !== undefined && isText(field))
      document.problem(at, `${key} has no value; for none write "", for a word such as ~ or null write it in quotes`);
    else settings.push([key, null]);
  }
  return Object.fromEntries(settings);
}

export function unknownSetting(key: string, entry: CatalogEntry): string {
  const near = nearestName(
    key,
    entry.fields.map((field) => field.key),
  );
  return `${key}: not a setting of ${entry.slug}${near === undefined ? "" : `; did you mean ${near}?`}`;
}

function isText({ type }: ConfigField): boolean {
  return type === FieldType.STRING || type === FieldType.PASSWORD || type === FieldType.TEXTAREA;
}

export function isList({ type }: ConfigField): boolean {
  return type === FieldType.MULTI_ENUM || type === FieldType.STRING_LIST;
}

function toValue(document: Document, node: Node, key: string, field: ConfigField | undefined): JsonValue {
  if (field === undefined || field.type === FieldType.TEXTAREA) return asWritten(document, node, key, 0);
  if (field.type === FieldType.INT) return numberOf(document, node, key);
  if (field.type === FieldType.BOOL) return booleanOf(document, node, key);
  if (isList(field)) return itemsOf(document, node, key).map((item) => textOf(document, item, key));
  return textOf(document, node, key);
}

const mostNested = 20;

/** Maps and lists as they are, with all words as text. */
function asWritten(document: Document, node: Node, what: string, depth: number): JsonValue {
  const resolved = document.resolve(node);
  if (isScalar(resolved)) return textOf(document, resolved, what);
  if (depth > mostNested) {
    document.problem(node, `${what} is nested too deeply`);
    return null;
  }
  if (isMap(resolved))
    return Object.fromEntries(
      entriesOf(document, resolved, what).map(({ key, value }) => [
        key,
        value === undefined ? null : asWritten(document, value, what, depth + 1),
      ]),
    );
  return isSeq(resolved) ? itemsOf(document, resolved, what).map((item) => asWritten(document, item, what, depth + 1)) : null;
}
