import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import type { JsonObject } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { UsageError } from "./usage-error.ts";

export interface Settings {
  readonly config: JsonObject;
  /** Keys whose value was in the arguments, where other users can read it. */
  readonly plain: readonly string[];
}

/**
 * `key=value`, `key=@file`, `key=-` (standard input), a bare `key` that is asked for without echo, and a whole map from a
 * YAML file. Later words win.
 */
export async function parseSettings(
  words: readonly string[],
  file: string | undefined,
  askHidden: (key: string) => Promise<string>,
): Promise<Settings> {
  const config: JsonObject = file === undefined ? {} : { ...readMap(file) };
  const plain: string[] = [];
  for (const each of words) {
    const at = each.indexOf("=");
    if (at < 0 && /^[a-z][a-z0-9_]*$/.test(each)) {
      config[each] = await askHidden(each);
      continue;
    }
    if (at < 1) throw new UsageError(`settings are key=value, not ${JSON.stringify(each)}`);
    const [key, text] = [each.slice(0, at), each.slice(at + 1)];
    config[key] = readValue(text);
    if (text !== "-" && text !== "" && !text.startsWith("@")) plain.push(key);
  }
  return { config, plain };
}

function readValue(text: string): string {
  if (text === "-") return readText("-").replace(/\n$/, "");
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

/** The file that standard input is; undefined for a pipe or a terminal. */
export function inputFile(): string | undefined {
  try {
    return fstatSync(0).isFile() ? readlinkSync("/proc/self/fd/0") : undefined;
  } catch {
    return undefined;
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
