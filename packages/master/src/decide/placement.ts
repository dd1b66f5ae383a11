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

/** Chooses hosts for deckies, one after the other: each that comes to a host counts there from then on. Pure. */
export interface Placer {
  /**
   * A decky stays where it is when that fits; else the host with the fewest deckies is taken, by name when several are equal.
   * Throws HOST_NOT_FOUND, HOST_DRAINING or NO_HOST_FITS.
   */
  place(placement: Placement, current: string | undefined): string;
}

/** Hosts that fit the same wish. */
interface Candidates {
  readonly names: ReadonlySet<string>;
  /** Those that can be reached, by their deckies and then by name; a number that has grown since is put right in its turn. */
  readonly queue: Candidate[];
}

interface Candidate {
  readonly name: string;
  readonly deckies: number;
}

/** Wishes for other labels are looked through again after so many. */
const mostWishes = 64;

/** `deckiesOn` says how many each host has, for those that have any. */
export function createPlacer(hosts: readonly PlaceableHost[], deckiesOn: ReadonlyMap<string, number>): Placer {
  const byName = new Map(hosts.map((host) => [host.name, host]));
  const counts = new Map(deckiesOn);
  const wishes = new Map<string, Candidates>();
  const countOf = (name: string) => counts.get(name) ?? 0;
  const candidatesFor = (wanted: readonly Label[]): Candidates => {
    const wish = JSON.stringify(wanted);
    const known = wishes.get(wish);
    if (known !== undefined) return known;
    const fitting = hosts.filter(
      (host) => host.isMasters !== true && !host.draining && wanted.every(([key, value]) => host.labels[key] === value),
    );
    const reachable = fitting.filter(({ isReachable }) => isReachable);
    const found = {
      names: new Set(fitting.map(({ name }) => name)),
      queue: reachable
        .map(({ name }) => ({ name, deckies: countOf(name) }))
        .sort((one, other) => (isBefore(one, other) ? -1 : 1)),
    };
    if (wishes.size >= mostWishes) wishes.clear();
    wishes.set(wish, found);
    return found;
  };
  const choose = (placement: Placement, current: string | undefined): string => {
    if (placement.kind === "host") return placeByName(placement.name, current, byName);
    const wanted = placement.kind === "labels" ? Object.entries(placement.labels).sort() : [];
    const { names, queue } = candidatesFor(wanted);
    if (current !== undefined && names.has(current)) return current;
    const best = leastOf(queue, countOf);
    if (best !== undefined) return best;
    const asked = wanted.map(([key, value]) => `${key}=${value}`).join(", ");
    throw new AppError("NO_HOST_FITS", `no active worker${asked === "" ? "" : ` with ${asked}`} is connected`);
  };
  return {
    place(placement, current) {
      const host = choose(placement, current);
      if (host !== current) counts.set(host, countOf(host) + 1);
      return host;
    },
  };
}

type Label = readonly [key: string, value: string];

function isBefore(one: Candidate, other: Candidate): boolean {
  return one.deckies === other.deckies ? one.name < other.name : one.deckies < other.deckies;
}

/** Numbers only grow: one that is right and comes first is the least of all. */
function leastOf(queue: Candidate[], countOf: (name: string) => number): string | undefined {
  for (;;) {
    const first = queue[0];
    if (first === undefined) return undefined;
    const deckies = countOf(first.name);
    if (first.deckies === deckies) return first.name;
    queue.shift();
    insert(queue, { ...first, deckies });
  }
}

function insert(queue: Candidate[], candidate: Candidate): void {
  let [from, to] = [0, queue.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const there = queue[middle];
    if (there !== undefined && isBefore(there, candidate)) from = middle + 1;
    else to = middle;
  }
  queue.splice(from, 0, candidate);
}

function placeByName(name: string, current: string | undefined, hosts: ReadonlyMap<string, PlaceableHost>): string {
  const host = hosts.get(name);
  if (host === undefined)
    throw new AppError("HOST_NOT_FOUND", `there is no host ${JSON.stringify(name.slice(0, 64))}`, {
      metadata: { host: name.slice(0, 64) },
    });
  if (host.draining && name !== current)
    throw new AppError("HOST_DRAINING", `host ${name} takes no new deckies`, { metadata: { host: name } });
  return name;
}
