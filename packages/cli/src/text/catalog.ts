import type { Archetype, CatalogEntry, ConfigField, Distro } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { formatEgress } from "./egress.ts";
import { table } from "./layout.ts";

/** The services on offer. */
export function formatCatalog(entries: readonly CatalogEntry[]): string {
  return table(
    ["SLUG", "PORTS", "WHAT"],
    entries.map(({ slug, ports, singleton, summary }) => [
      slug,
      ports.map((port) => `${port.protocol}/${port.number}`).join(" ") || (singleton ? "per host" : "-"),
      summary,
    ]),
  );
}

/** One service: what it calls, if it does, and its settings. */
export function formatEntry({ fields, egress }: Pick<CatalogEntry, "fields" | "egress">): string {
  return [...(egress.length === 0 ? [] : [`calls ${formatEgress(egress)}`, ""]), formatFields(fields)].join("\n");
}

function formatFields(fields: readonly ConfigField[]): string {
  return table(
    ["KEY", "DEFAULT", "ALLOWED", "HELP"],
    fields.map((field) => [field.key, formatDefault(field), allowed(field), field.help]),
  );
}

function allowed({ enumValues, min, max, maxBytes, expects }: ConfigField): string {
  if (enumValues.length > 0) return enumValues.join("|");
  if (min !== undefined || max !== undefined) return `${min ?? ""}–${max ?? ""}`;
  return [expects, ...(maxBytes === undefined ? [] : [`at most ${maxBytes} bytes`])].filter((part) => part !== "").join("; ");
}

function formatDefault({ secret, defaultValue }: ConfigField): string {
  if (secret) return "(secret)";
  const value: unknown = defaultValue?.kind.value ?? "";
  return JSON.stringify(typeof value === "object" ? "list" : value);
}

export function formatArchetypes(archetypes: readonly Archetype[]): string {
  return table(
    ["SLUG", "SERVICES", "NOT ON OFFER YET"],
    archetypes.map((each) => [each.slug, each.services.join(" "), each.missingServices.join(" ")]),
  );
}

export function formatDistros(distros: readonly Distro[]): string {
  return table(
    ["SLUG", "IMAGE"],
    distros.map((each) => [each.slug, each.image]),
  );
}
