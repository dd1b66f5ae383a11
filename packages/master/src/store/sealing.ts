import { secretKeys } from "@decnet/engine/catalog/effective";
import type { Catalog, ServiceConfig } from "@decnet/engine/catalog/types";
import type { StoredService } from "../model/decky.ts";
import type { Design, TopologyDecky } from "../model/topology.ts";
import type { SecretBox } from "./secret-box.ts";

/** As in the database: values of secrets are replaced by their sealed form. */
export interface SealedService {
  readonly slug: string;
  readonly config: Record<string, unknown>;
  readonly staged?: Record<string, unknown>;
}

/** A design with its services sealed. */
export interface SealedDesign extends Omit<Design, "deckies"> {
  readonly deckies: readonly (Omit<TopologyDecky, "services"> & { readonly services: readonly SealedService[] })[];
}

/** Secrets are sealed on the way into the database and opened on the way out. */
export interface Sealing {
  seal(deckyId: string, services: readonly StoredService[]): SealedService[];
  open(deckyId: string, services: readonly SealedService[]): StoredService[];
}

/** Opens what one decky's services hold. Throws when another key sealed it. */
export function openSealed(box: SecretBox, deckyId: string, services: readonly SealedService[]): StoredService[] {
  const open = (slug: string, config: Record<string, unknown>) =>
    mapConfig(config, (key, value) =>
      isSealed(value) ? box.open(value.$sealed, `${deckyId}/${slug}/${key}`) : value,
    ) as ServiceConfig;
  return services.map(({ slug, config, staged }) => ({
    slug,
    config: open(slug, config),
    ...(staged === undefined ? {} : { staged: open(slug, staged) }),
  }));
}

export function createSealing(box: SecretBox, catalog: Catalog): Sealing {
  const seal = (deckyId: string, slug: string, config: ServiceConfig) => {
    const secrets = secretKeys(catalog.services.get(slug));
    return mapConfig(config, (key, value) =>
      secrets.has(key) ? { $sealed: box.seal(String(value), `${deckyId}/${slug}/${key}`) } : value,
    );
  };
  return {
    seal: (deckyId, services) =>
      services.map(({ slug, config, staged }) => ({
        slug,
        config: seal(deckyId, slug, config),
        ...(staged === undefined ? {} : { staged: seal(deckyId, slug, staged) }),
      })),
    open: (deckyId, services) => openSealed(box, deckyId, services),
  };
}

function mapConfig(
  config: Readonly<Record<string, unknown>>,
  map: (key: string, value: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, map(key, value)]));
}

function isSealed(value: unknown): value is { readonly $sealed: string } {
  return typeof value === "object" && value !== null && "$sealed" in value && typeof value.$sealed === "string";
}
