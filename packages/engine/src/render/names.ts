import type { Scope } from "../spec.ts";

/**
 * Every name that the engine sees, made in one place. A slug is used verbatim. Container names are `<decky>` for the base and
 * `<decky>-<slug>` for a service; in a topology they begin with its whole id, so that no two topologies can meet.
 */
export interface DeckyNames {
  /** Compose project. */
  readonly project: string;
  readonly base: string;
  service(slug: string): string;
  /** Named volume of a service; outlives the container. */
  volume(slug: string, volume: string): string;
}

export function deckyNames(scope: Scope, name: string): DeckyNames {
  const base = scope === "fleet" ? name : `${scope}-${name}`;
  return {
    project: `decnet-${base}`,
    base,
    service: (slug) => `${base}-${slug}`,
    volume: (slug, volume) => `decnet_${base}_${slug}_${volume}`,
  };
}

/** The engine's name for a LAN of a topology. */
export function topologyNetwork(topologyId: string, lan: string): string {
  return `decnet-${topologyId}-${lan}`;
}

/** The name alone says so, also while no decky is on it yet. */
export function isTopologyNetwork(network: string): boolean {
  return /^decnet-t[0-9a-f]{12}-/.test(network);
}

/** Labels on everything that we make. Nothing without our instance label is ever touched. */
export const label = {
  instance: "decnet.instance",
  /** `<scope>/<name>` */
  decky: "decnet.decky",
  /** `base` or `service` */
  role: "decnet.role",
  service: "decnet.service",
  /** Keyed hash of what the operator asked for. */
  hash: "decnet.hash",
  /** Hash of the catalog entry that the container was made from. */
  // As it is on the containers that run: a label by another name would make all of them new.
  catalog: "decnet.catalogue",
  /** Compose's own. */
  composeProject: "com.docker.compose.project",
  composeService: "com.docker.compose.service",
} as const;
