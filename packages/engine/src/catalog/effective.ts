import { formatPairs } from "./pairs.ts";
import type { ConfigField, ConfigValue, ServiceConfig, ServiceDefinition } from "./types.ts";

/**
 * What a container gets: plain settings as environment; secrets, and what may be large, as files. Defaults are filled in here,
 * never stored.
 */
export interface ContainerSettings {
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
}

export function containerSettings(service: ServiceDefinition, config: ServiceConfig): ContainerSettings {
  const env: Record<string, string> = {};
  const secrets: Record<string, string> = {};
  for (const field of service.fields) {
    const value = config[field.key] ?? (field.emit === "always" ? field.default : undefined);
    if (value === undefined) continue;
    if (field.secret || field.file === true) secrets[field.key] = toText(field, value);
    else if (field.env !== undefined) env[field.env] = toText(field, value);
  }
  return { env, secrets };
}

function toText({ pairs }: ConfigField, value: ConfigValue): string {
  if (pairs !== undefined) return formatPairs(String(value));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** As much of a service as tells its secrets from its other settings. */
export interface SecretFields {
  readonly fields: readonly Pick<ConfigField, "key" | "secret">[];
}

/** A catalog that is asked for nothing else. */
export interface SecretCatalog {
  readonly services: ReadonlyMap<string, SecretFields>;
}

export function secretKeys(service: SecretFields | undefined): ReadonlySet<string> {
  return new Set(service?.fields.filter((field) => field.secret).map((field) => field.key));
}
