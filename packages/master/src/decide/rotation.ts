import { AppError } from "@decnet/common/errors/app-error";
import { findArchetype } from "@decnet/engine/tables/archetypes";
import type { StoredService } from "../model/decky.ts";
import type { OperationKind, OperationState } from "../model/operation.ts";
import { type RotationSetting, type RotationWishes, rotationActor } from "../model/rotation.ts";
import { sameConfig } from "../model/services.ts";

/** What is chosen from, of a catalog. */
export interface RotationCatalog {
  readonly services: ReadonlyMap<
    string,
    { readonly singleton: boolean; readonly ports: readonly { readonly number: number; readonly protocol: string }[] }
  >;
}

export interface RotationChoice extends RotationWishes {
  readonly decky: string;
  readonly services: readonly StoredService[];
  readonly archetype: string;
  /** Undefined: nobody set one. */
  readonly setting: Pick<RotationSetting, "services"> | undefined;
  /** What services that are not there now were last set to on this decky. */
  readonly earlier: ReadonlyMap<string, StoredService>;
}

const most = 3;
/** Of a pool with any other set to choose, so many draws in vain do not happen. */
const mostDraws = 200;

/** What a decky may rotate to: what its setting, its archetype or the catalog offers, without what operators decided about. */
export function rotationPool({ setting, archetype, pinned, barred }: RotationChoice, catalog: RotationCatalog): string[] {
  const named = setting?.services ?? [];
  const usual = findArchetype(archetype)?.services ?? [...catalog.services.keys()];
  const decided = new Set([...pinned, ...barred]);
  return [...new Set(named.length > 0 ? named : usual)]
    .filter((slug) => catalog.services.get(slug)?.singleton === false && !decided.has(slug))
    .sort();
}

/**
 * The services after a rotation: those that are pinned, and one to three of the pool that are not the present ones. Two never
 * need the same port. Pure: the same random numbers choose the same. Throws ROTATION_IMPOSSIBLE when there is no other set.
 */
export function rotateServices(choice: RotationChoice, catalog: RotationCatalog, random: () => number): StoredService[] {
  const { services, earlier } = choice;
  const pool = rotationPool(choice, catalog);
  // What neither the setting nor the archetype offers was put there by somebody: it is as good as pinned.
  const kept = services.filter(({ slug }) => !pool.includes(slug));
  const present = services.filter(({ slug }) => pool.includes(slug)).map(({ slug }) => slug);
  for (let draw = 0; draw < mostDraws; draw += 1) {
    const chosen = drawServices(pool, kept, catalog, random);
    if (chosen.length === 0 || isSameSet(chosen, present)) continue;
    const find = (slug: string) => services.find((each) => each.slug === slug) ?? earlier.get(slug) ?? { slug, config: {} };
    return [...kept, ...chosen.map(find)];
  }
  const { decky } = choice;
  const offer = pool.length === 0 ? "nothing is left to choose from" : `there is only ${pool.join(", ")} to choose from`;
  throw new AppError("ROTATION_IMPOSSIBLE", `no other set of services for ${decky}: ${offer}`, { metadata: { decky } });
}

function drawServices(
  pool: readonly string[],
  kept: readonly StoredService[],
  { services: offer }: RotationCatalog,
  random: () => number,
): string[] {
  const portsOf = (slug: string) => (offer.get(slug)?.ports ?? []).map(({ number, protocol }) => `${number}/${protocol}`);
  const ports = new Set(kept.flatMap(({ slug }) => portsOf(slug)));
  const left = [...pool];
  const count = 1 + Math.floor(random() * most);
  const chosen: string[] = [];
  while (chosen.length < count && left.length > 0) {
    const [slug = ""] = left.splice(Math.floor(random() * left.length), 1);
    if (portsOf(slug).some((port) => ports.has(port))) continue;
    for (const port of portsOf(slug)) ports.add(port);
    chosen.push(slug);
  }
  return chosen;
}

function isSameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((slug) => other.includes(slug));
}

/** One revision with what made it. */
export interface MadeRevision {
  readonly services: readonly StoredService[];
  readonly actor: string;
  /** Of its operation; null when that is kept no longer, or there was none. */
  readonly kind: OperationKind | null;
  readonly state: OperationState | null;
  /** Its change was taken back. */
  readonly undone: boolean;
}

const explicit: ReadonlySet<string> = new Set(["add_service", "remove_service", "update_service_config", "restore_revision"]);
const byItself: ReadonlySet<string> = new Set([rotationActor, "drift", "retry", "restore", ""]);
const whole: ReadonlySet<string> = new Set(["deploy_decky", "change_decky"]);

/**
 * What operators want of single services after some more revisions, oldest first; `before` are the services before the first of
 * them. A file that says other services for the whole decky begins anew. Pure.
 */
export function foldWishes(
  wishes: RotationWishes,
  before: readonly StoredService[],
  revisions: readonly MadeRevision[],
): RotationWishes {
  const pinned = new Set(wishes.pinned);
  const barred = new Set(wishes.barred);
  let last = before;
  for (const { services, actor, kind, undone } of revisions) {
    const was = new Map(last.map((each) => [each.slug, each]));
    const is = new Map(services.map((each) => [each.slug, each]));
    last = services;
    if (undone) continue;
    if (kind !== null && whole.has(kind)) {
      if (isSameSet([...was.keys()], [...is.keys()]) && services.every((each) => isSame(was.get(each.slug), each))) continue;
      pinned.clear();
      barred.clear();
      continue;
    }
    if (kind === null ? byItself.has(actor) : !explicit.has(kind)) continue;
    for (const [slug, service] of is) {
      if (isSame(was.get(slug), service)) continue;
      pinned.add(slug);
      barred.delete(slug);
    }
    for (const slug of was.keys()) {
      if (is.has(slug)) continue;
      barred.add(slug);
      pinned.delete(slug);
    }
  }
  return { pinned: [...pinned].sort(), barred: [...barred].sort() };
}

/** Saved settings that are not applied yet were wanted, too. */
function isSame(one: StoredService | undefined, other: StoredService): boolean {
  if (one === undefined || !sameConfig(one.config, other.config)) return false;
  return sameConfig(one.staged ?? one.config, other.staged ?? other.config);
}

const dayMs = 86_400_000;

/** When the next one is due after one that went well: within a tenth, so that nobody can tell the hour. */
export function nextDelayMs(everySeconds: number, random: () => number): number {
  return Math.round(everySeconds * 1_000 * (0.9 + 0.2 * random()));
}

/** The first one comes sooner or later than the others, so that deckies of one file do not change all at once. */
export function firstDelayMs(everySeconds: number, random: () => number): number {
  return Math.round(everySeconds * 1_000 * (0.5 + 0.5 * random()));
}

/** After so many failures in a row: twice as long each time, up to a day, or its own time when that is longer. */
export function retryDelayMs(everySeconds: number, failures: number): number {
  const every = everySeconds * 1_000;
  return Math.min(every * 2 ** Math.min(failures, 20), Math.max(every, dayMs));
}
