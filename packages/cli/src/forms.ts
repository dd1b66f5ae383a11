import { createRequire } from "node:module";
import { isMap } from "./maps.ts";
import type { Form } from "./read-flags.ts";
import { visible } from "./text/layout.ts";

const require = createRequire(import.meta.url);

/** Forms that programs read. */
export function isForPrograms(form: Form): boolean {
  return form === "json" || form === "jsonl" || form === "yaml";
}

/** A document of the contract (proto JSON) in a form for programs. Pure. */
export function formatDocument(form: Exclude<Form, "table" | "wide">, document: unknown): string {
  switch (form) {
    case "json":
      return JSON.stringify(document, null, 2);
    case "yaml":
      return formatYaml(document);
    case "name":
      return itemsOf(document).items.map(nameOf).join("\n");
    case "jsonl":
      return [
        ...lines(document),
        JSON.stringify({ type: "result", state: "SUCCEEDED", count: itemsOf(document).items.length }),
      ].join("\n");
  }
}

/** A text with characters that a terminal would obey stands in double quotes, where they can be written as numbers. */
function formatYaml(document: unknown): string {
  // Loaded when it is asked for: it takes a tenth of the time of a command.
  const { Document, visit } = require("yaml") as typeof import("yaml");
  const yaml = new Document(document);
  visit(yaml, {
    Scalar(_, scalar) {
      if (typeof scalar.value === "string" && visible(scalar.value) !== scalar.value) scalar.type = "QUOTE_DOUBLE";
    },
  });
  return yaml.toString().trimEnd();
}

function lines(document: unknown): string[] {
  const { type, items } = itemsOf(document);
  return items.map((item) => JSON.stringify(isMap(item) ? { type, ...item } : { type, value: item }));
}

const singular: Readonly<Record<string, string>> = { deckies: "decky", entries: "entry" };

/** The list that a response carries, or the one thing that it is about. */
function itemsOf(document: unknown): { type: string; items: readonly unknown[] } {
  if (!isMap(document)) return { type: "value", items: [document] };
  const entries = Object.entries(document);
  for (const [key, value] of entries)
    if (Array.isArray(value)) return { type: singular[key] ?? key.replace(/s$/, ""), items: value };
  const [first] = entries;
  if (first !== undefined && entries.length === 1 && isMap(first[1])) return { type: first[0], items: [first[1]] };
  return { type: "value", items: entries.length === 0 ? [] : [document] };
}

function nameOf(item: unknown): string {
  if (!isMap(item)) return String(item);
  const inner = isMap(item["ref"]) ? nameOf(item["ref"]) : undefined;
  for (const key of ["name", "id", "slug", "number", "cursor"]) {
    const value = item[key];
    if (typeof value === "string" && value !== "") return value;
    if (typeof value === "number") return `r${value}`;
  }
  return inner ?? JSON.stringify(item);
}
