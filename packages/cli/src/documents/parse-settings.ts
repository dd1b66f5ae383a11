import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { CatalogEntry } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import type { Connection } from "../connection.ts";
import { readText } from "../settings.ts";
import { UsageError } from "../usage-error.ts";
import { readSettings } from "./to-message.ts";
import { isList, type SettingsRules, unknownSetting } from "./to-settings.ts";

export interface Settings {
  readonly config: JsonObject;
  /** Keys whose value was in the arguments, where other users can read it. */
  readonly plain: readonly string[];
}

/** How settings are read: by the catalog of the master that gets them. */
export async function settingsRules(
  { catalog }: Connection,
  { ignoreUnknown = false }: { readonly ignoreUnknown?: boolean },
): Promise<SettingsRules> {
  const { services } = await catalog.listServices({});
  return { services: new Map(services.map((entry) => [entry.slug, entry])), ignoreUnknown };
}

/**
 * `key=value`, `key=@file`, `key=-` (standard input), a bare `key` that is asked for without echo, and a whole map from a
 * YAML file. Later words win.
 */
export async function parseSettings(
  words: readonly string[],
  from: { readonly file: string | undefined; readonly slug: string; readonly rules: SettingsRules },
  askHidden: (key: string) => Promise<string>,
): Promise<Settings> {
  const { file, slug, rules } = from;
  const entry = rules.services.get(slug);
  const config: JsonObject = file === undefined ? {} : { ...readSettings(file, slug, rules) };
  const plain: string[] = [];
  for (const each of words) {
    const at = each.indexOf("=");
    const key = at < 0 ? each : each.slice(0, at);
    if (at === 0 || (at < 0 && !/^[a-z][a-z0-9_]*$/.test(each)))
      throw new UsageError(`settings are key=value, not ${JSON.stringify(each)}`);
    refuseUnknown(key, entry, rules);
    const text = at < 0 ? await askHidden(key) : each.slice(at + 1);
    config[key] = at < 0 ? text : toValue(text, key, entry);
    if (at > 0 && text !== "-" && text !== "" && !text.startsWith("@")) plain.push(key);
  }
  return { config, plain };
}

function refuseUnknown(key: string, entry: CatalogEntry | undefined, { ignoreUnknown }: SettingsRules): void {
  if (entry === undefined || ignoreUnknown || entry.fields.some((field) => field.key === key)) return;
  throw new UsageError(`${unknownSetting(key, entry)} (--ignore-unknown leaves it out)`);
}

function toValue(text: string, key: string, entry: CatalogEntry | undefined): JsonValue {
  const field = entry?.fields.find((each) => each.key === key);
  const given = readValue(text);
  return field !== undefined && isList(field) && given !== "" ? given.split(",") : given;
}

function readValue(text: string): string {
  if (text === "-") return readText("-").replace(/\n$/, "");
  if (text.startsWith("@")) return readText(text.slice(1)).replace(/\n$/, "");
  return text;
}
