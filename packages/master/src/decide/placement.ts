import { AppError } from "@decnet/common/errors/app-error";

/** Where a decky is to live. Undefined: where it is; a new one on the fleet's default. */
export type Placement =
  | { readonly kind: "host"; readonly name: string }
  | { readonly kind: "labels"; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: "balanced" };

/** A host as placement sees it. */
export interface PlaceableHost {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly draining: boolean;
  readonly isReachable: boolean;
  /** The own host of a master: gets what is placed there by name, and nothing else. */
  readonly isMasters?: boolean;
}

/**
 * Chooses a host for a decky. Pure. A decky stays where it is when that fits; else the host with the fewest deckies is taken, by
 * name when several are equal. Throws HOST_NOT_FOUND, HOST_DRAINING or NO_HOST_FITS.
 */
export function placeDecky(
  placement: Placement,
  current: string | undefined,
  hosts: readonly PlaceableHost[],
  load: ReadonlyMap<string, number>,
): string {
  if (placement.kind === "host") return placeByName(placement.name, current, hosts);
  const wanted = placement.kind === "labels" ? Object.entries(placement.labels) : [];
  const fitting = hosts.filter(
    (host) => host.isMasters !== true && !host.draining && wanted.every(([key, value]) => host.labels[key] === value),
  );
  if (current !== undefined && fitting.some((host) => host.name === current)) return current;
  const loadOf = ({ name }: PlaceableHost) => load.get(name) ?? 0;
  // Not sorted: a fleet of many deckies asks for each of them.
  let best: PlaceableHost | undefined;
  for (const host of fitting) {
    if (!host.isReachable) continue;
    const difference = best === undefined ? -1 : loadOf(host) - loadOf(best);
    if (best === undefined || difference < 0 || (difference === 0 && host.name < best.name)) best = host;
  }
  if (best === undefined) {
    const asked = wanted.map(([key, value]) => `${key}=${value}`).join(", ");
    throw new AppError("NO_HOST_FITS", `no active worker${asked === "" ? "" : ` with ${asked}`} is connected`);
  }
  return best.name;
}

function placeByName(name: string, current: string | undefined, hosts: readonly PlaceableHost[]): string {
  const host = hosts.find((candidate) => candidate.name === name);
  if (host === undefined)
    throw new AppError("HOST_NOT_FOUND", `there is no host ${JSON.stringify(name.slice(0, 64))}`, {
      metadata: { host: name.slice(0, 64) },
    });
  if (host.draining && name !== current)
    throw new AppError("HOST_DRAINING", `host ${name} takes no new deckies`, { metadata: { host: name } });
  return name;
}
