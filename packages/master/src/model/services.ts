import { createHash } from "node:crypto";
import { AppError } from "@decnet/common/errors/app-error";
import { coerceConfig } from "@decnet/engine/catalog/coerce";
import { type SecretCatalog, secretKeys } from "@decnet/engine/catalog/effective";
import type { Catalog, ServiceConfig, ServiceDefinition } from "@decnet/engine/catalog/types";
import type { StoredService } from "./decky.ts";
import type { FieldChange, ServiceChange } from "./operation.ts";

/** Pure changes of a decky's list of services. Each throws before anything was written when it cannot be. */

export function findEntry(catalog: Catalog, slug: string): ServiceDefinition {
  const entry = catalog.services.get(slug);
  if (entry === undefined)
    throw new AppError("SERVICE_UNKNOWN", `there is no service ${JSON.stringify(slug)} in the catalog`, {
      metadata: { service: slug },
      violations: [{ field: "service", description: "not in the catalog" }],
    });
  if (entry.singleton)
    throw new AppError("SERVICE_IS_SINGLETON", `${slug} runs once per host and cannot be part of a decky`, {
      metadata: { service: slug },
    });
  return entry;
}

export function addService(
  services: readonly StoredService[],
  entry: ServiceDefinition,
  config: ServiceConfig,
  decky: string,
  catalog: Catalog,
): StoredService[] {
  if (services.some((service) => service.slug === entry.slug))
    throw new AppError("SERVICE_ALREADY_PRESENT", `${entry.slug} is on ${decky} already`, {
      metadata: { decky, service: entry.slug },
      resource: { type: "service", name: `${decky}/${entry.slug}` },
    });
  refusePortConflict(services, entry, decky, catalog);
  return [...services, { slug: entry.slug, config }];
}

/** All services of a decky share one network namespace: two cannot have the same port. */
function refusePortConflict(services: readonly StoredService[], entry: ServiceDefinition, decky: string, catalog: Catalog): void {
  for (const service of services) {
    const theirs = catalog.services.get(service.slug)?.ports ?? [];
    const clash = entry.ports.find((port) =>
      theirs.some((other) => other.number === port.number && other.protocol === port.protocol),
    );
    if (clash === undefined) continue;
    const port = `${clash.number}/${clash.protocol}`;
    throw new AppError("PORT_CONFLICT", `${entry.slug} needs port ${port} of ${decky}, which ${service.slug} has`, {
      metadata: { decky, service: entry.slug, holder: service.slug, port },
      resource: { type: "port", name: `${decky}/${port}` },
    });
  }
}

export function removeService(services: readonly StoredService[], slug: string, decky: string): StoredService[] {
  requirePresent(services, slug, decky);
  return services.filter((service) => service.slug !== slug);
}

export interface ConfigUpdate {
  /** Undefined: the stored settings, with what is staged, as they are. */
  readonly config: unknown;
  readonly mode: "replace" | "merge";
  readonly clearSecrets: readonly string[];
  readonly apply: boolean;
}

export function updateService(
  services: readonly StoredService[],
  entry: ServiceDefinition,
  update: ConfigUpdate,
  decky: string,
): StoredService[] {
  const current = requirePresent(services, entry.slug, decky);
  const secrets = secretKeys(entry);
  const unknown = update.clearSecrets.filter((key) => !secrets.has(key));
  if (unknown.length > 0)
    throw new AppError("CONFIG_INVALID", `${unknown[0]}: ${entry.slug} has no such secret`, {
      metadata: { service: entry.slug },
      violations: unknown.map((key) => ({ field: "clear_secrets", description: `${key}: no such secret` })),
    });
  const stored = current.staged ?? current.config;
  const given = coerceConfig(entry, update.config);
  const keepsAll = update.config === undefined || update.mode === "merge";
  const kept = Object.entries(stored).filter(([key]) => (keepsAll || secrets.has(key)) && !update.clearSecrets.includes(key));
  // A key that is given as null or empty is taken back in a merge, as the reference omits it; secrets go only by name.
  const emptied = keepsAll ? emptiedKeys(update.config, secrets) : new Set<string>();
  const next: ServiceConfig = { ...Object.fromEntries(kept.filter(([key]) => !emptied.has(key))), ...given };
  coerceConfig(entry, next);
  const changed: StoredService = update.apply
    ? { slug: entry.slug, config: next }
    : { slug: entry.slug, config: current.config, ...(sameConfig(next, current.config) ? {} : { staged: next }) };
  return services.map((service) => (service.slug === entry.slug ? changed : service));
}

function emptiedKeys(config: unknown, secrets: ReadonlySet<string>): Set<string> {
  if (typeof config !== "object" || config === null) return new Set();
  return new Set(
    Object.entries(config).flatMap(([key, value]) => ((value === null || value === "") && !secrets.has(key) ? [key] : [])),
  );
}

/**
 * Refuses settings of a service, or of all for an empty slug, that were stored when the catalog still took them. Throws
 * CONFIG_INVALID.
 */
export function refuseInvalid(services: readonly StoredService[], slug: string, catalog: Catalog): StoredService[] {
  for (const service of services) {
    const entry = catalog.services.get(service.slug);
    if (entry !== undefined && (slug === "" || slug === service.slug)) coerceConfig(entry, service.config);
  }
  return [...services];
}

/** Takes services of an old revision back: all of them, or one. Staged settings of the old revision are not restored. */
export function restoreServices(
  services: readonly StoredService[],
  old: readonly StoredService[],
  slug: string,
): StoredService[] {
  if (slug === "") return old.map(({ slug: each, config }) => ({ slug: each, config }));
  const was = old.find((service) => service.slug === slug);
  const others = services.filter((service) => service.slug !== slug);
  if (was === undefined) return others;
  const at = services.findIndex((service) => service.slug === slug);
  const back = { slug, config: was.config };
  return at < 0 ? [...others, back] : services.map((service) => (service.slug === slug ? back : service));
}

/** Refuses to restore a service that is not there now and was not then. Throws SERVICE_NOT_PRESENT. */
export function requireRestorable(
  services: readonly StoredService[],
  old: readonly StoredService[],
  slug: string,
  decky: string,
): void {
  if (slug === "" || [...services, ...old].some((service) => service.slug === slug)) return;
  throw new AppError("SERVICE_NOT_PRESENT", `${JSON.stringify(slug)} is not on ${decky}, and was not in that revision`, {
    metadata: { decky, service: slug },
  });
}

export function requirePresent(services: readonly StoredService[], slug: string, decky: string): StoredService {
  const present = services.find((service) => service.slug === slug);
  if (present === undefined)
    throw new AppError("SERVICE_NOT_PRESENT", `${JSON.stringify(slug)} is not on ${decky}`, {
      metadata: { decky, service: slug },
    });
  return present;
}

export function sameConfig(left: ServiceConfig, right: ServiceConfig): boolean {
  const text = (config: ServiceConfig) => JSON.stringify(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
  return text(left) === text(right);
}

export function sameService(left: StoredService | undefined, right: StoredService | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return sameConfig(left.config, right.config);
}

/** Whether both lists render to the same containers. */
export function sameServices(left: readonly StoredService[], right: readonly StoredService[]): boolean {
  return (
    left.length === right.length &&
    left.every((service) =>
      sameService(
        service,
        right.find((other) => other.slug === service.slug),
      ),
    )
  );
}

/** What differs between two lists. Values of secrets are never carried. */
export function diffServices(
  before: readonly StoredService[],
  after: readonly StoredService[],
  catalog: SecretCatalog,
): ServiceChange[] {
  const slugs = [...new Set([...before, ...after].map((service) => service.slug))];
  return slugs.flatMap((slug): ServiceChange[] => {
    const was = before.find((service) => service.slug === slug);
    const is = after.find((service) => service.slug === slug);
    const secrets = secretKeys(catalog.services.get(slug));
    if (was === undefined) return [{ service: slug, action: "added", fields: diffConfig({}, is?.config ?? {}, secrets) }];
    if (is === undefined) return [{ service: slug, action: "removed", fields: diffConfig(was.config, {}, secrets) }];
    const applied = diffConfig(was.config, is.config, secrets);
    if (applied.length > 0) return [{ service: slug, action: "changed", fields: applied }];
    const staged = diffConfig(was.staged ?? was.config, is.staged ?? is.config, secrets);
    return staged.length > 0
      ? [{ service: slug, action: "staged", fields: staged.map((field) => ({ ...field, action: "staged" as const })) }]
      : [];
  });
}

function diffConfig(before: ServiceConfig, after: ServiceConfig, secrets: ReadonlySet<string>): FieldChange[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return keys.flatMap((key): FieldChange[] => {
    const was = before[key] === undefined ? "" : JSON.stringify(before[key]);
    const is = after[key] === undefined ? "" : JSON.stringify(after[key]);
    if (was === is) return [];
    const secret = secrets.has(key);
    const action = was === "" ? "added" : is === "" ? "removed" : "changed";
    return [{ key, action, before: secret ? "" : shorten(was), after: secret ? "" : shorten(is), secret }];
  });
}

const longestShown = 2_000;

/** Plans and events are no place for whole pages; two that differ stay different. */
function shorten(json: string): string {
  if (json.length <= longestShown) return json;
  const digest = createHash("sha256").update(json).digest("hex").slice(0, 16);
  return JSON.stringify(`${json.slice(0, longestShown / 2)}… (${json.length} characters, sha256 ${digest})`);
}
