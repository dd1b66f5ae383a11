import { setTimeout as delay } from "node:timers/promises";
import type { ContainerCalls } from "../docker/container-calls.ts";
import { deckyKey, type Scope } from "../spec.ts";
import type { DiskWatch } from "./disk-use.ts";
import type { ExhaustionWatch } from "./exhaustion.ts";
import { observeInterfaces } from "./interfaces.ts";
import { isNotObserved, notObserved } from "./not-observed.ts";
import { baseOf, noSockets, type ObservedContainer, type ObservedDecky } from "./observed.ts";
import { createHolderSearch, type HolderSearch } from "./port-holders.ts";
import type { SocketCache } from "./socket-cache.ts";

export interface DeckySources {
  readonly api: Pick<ContainerCalls, "listContainers">;
  readonly instance: string;
  readonly sockets: SocketCache;
  readonly exhaustion: ExhaustionWatch;
  readonly disk: DiskWatch;
}

/** How old the sockets of a decky may be in a drift check, while the number of them stays. */
const socketsMs = 6_000;
/** How often a decky is looked at whose base ends while it is looked at. */
const looks = 4;

/** Throws NOT_OBSERVED. */
export async function observeDecky(
  sources: DeckySources,
  decky: { readonly scope: Scope; readonly name: string },
): Promise<ObservedDecky> {
  const key = deckyKey(decky);
  for (let look = 1; look <= looks; look += 1) {
    const containers = (await sources.api.listContainers(sources.instance, key)).map((entry) => entry.container);
    const observed = await lookInside(key, containers, 0, createHolderSearch(), sources);
    if (observed !== undefined) return observed;
    await delay(50 * look);
  }
  throw notObserved(`the base of ${decky.name} ends each time that it is looked at`);
}

/**
 * All deckies that have containers, and those that are asked for, with their keys, or why one cannot be observed. One list call,
 * however many there are.
 */
export async function* observeDeckies(
  sources: DeckySources,
  keys: readonly string[],
): AsyncGenerator<readonly [key: string, decky: ObservedDecky | Error]> {
  const found = new Map<string, ObservedContainer[]>(keys.map((key) => [key, []]));
  const problems = new Map<string, Error>();
  const listed = await sources.api.listContainers(sources.instance, undefined, (key, problem) => problems.set(key, problem));
  for (const { decky, container } of listed) {
    const containers = found.get(decky);
    if (containers === undefined) found.set(decky, [container]);
    else containers.push(container);
  }
  const search = createHolderSearch();
  for (const [key, containers] of found) {
    const problem = problems.get(key);
    yield [key, problem ?? (await observeOrSay(key, containers, search, sources))];
  }
  const all = [...found.values()].flat();
  sources.sockets.retain(new Set(all.map(({ pid }) => pid)));
  const ids = new Set(all.map(({ id }) => id));
  sources.exhaustion.retain(ids);
  sources.disk.retain(ids);
}

async function observeOrSay(
  key: string,
  containers: readonly ObservedContainer[],
  search: HolderSearch,
  sources: DeckySources,
): Promise<ObservedDecky | Error> {
  try {
    return (await lookInside(key, containers, socketsMs, search, sources)) ?? (await observeDecky(sources, partsOf(key)));
  } catch (error) {
    if (isNotObserved(error)) return error;
    throw error;
  }
}

/** Undefined when the base ended meanwhile: what was said of the containers is old. */
async function lookInside(
  key: string,
  containers: readonly ObservedContainer[],
  maxAgeMs: number,
  search: HolderSearch,
  { sockets: cache, exhaustion: watch, disk }: DeckySources,
): Promise<ObservedDecky | undefined> {
  const decky: ObservedDecky = {
    ...partsOf(key),
    containers: containers.map((container) => {
      const [exhaustion, use] = [watch.observe(container), disk.observe(container)];
      return exhaustion === undefined && use === undefined ? container : { ...container, exhaustion, disk: use };
    }),
    sockets: noSockets,
  };
  const pid = baseOf(decky)?.pid ?? 0;
  if (pid === 0) return decky;
  // Before the sockets: they are seen only while the process is still the same.
  const interfaces = observeInterfaces(pid);
  const sockets = await cache.observe({ pid, containers }, maxAgeMs, search);
  return sockets === undefined ? undefined : { ...decky, sockets, interfaces };
}

function partsOf(key: string): { readonly scope: Scope; readonly name: string } {
  const [scope = "", name = ""] = key.split("/");
  return { scope, name };
}
