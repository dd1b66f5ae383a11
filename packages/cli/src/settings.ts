import { readFileSync } from "node:fs";
import type { JsonObject } from "@bufbuild/protobuf";
import { parse } from "yaml";

/** Bad input on the command line; exit code 2. */
export class UsageError extends Error {}

/** `key=value`, `key=@file`, `key=-` (standard input), and a whole map from a YAML file. Later words win. */
export function parseSettings(words: readonly string[], file: string | undefined): JsonObject {
  const settings: JsonObject = file === undefined ? {} : readMap(file);
  for (const each of words) {
    const at = each.indexOf("=");
    if (at < 1) throw new UsageError(`settings are key=value, not ${JSON.stringify(each)}`);
    settings[each.slice(0, at)] = readValue(each.slice(at + 1));
  }
  return settings;
}

function readValue(text: string): string {
  if (text === "-") return readFileSync(0, "utf8").replace(/\n$/, "");
  if (text.startsWith("@")) return readText(text.slice(1)).replace(/\n$/, "");
  return text;
}

export function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A YAML (or JSON) document that is a map. */
export function readMap(file: string): JsonObject {
  let document: unknown;
  try {
    document = parse(readText(file));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${file} is not YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document))
    throw new UsageError(`${file} must hold a map`);
  return document as JsonObject;
}
