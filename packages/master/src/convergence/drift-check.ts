import { setImmediate } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "@decnet/common/logging/logger";
import { isRested } from "@decnet/common/runtime/repair-pace";
import type { CheckedDecky } from "@decnet/engine/engine";
import { isNotObserved } from "@decnet/engine/observe/not-observed";
import { type DeckySpec, deckyKey } from "@decnet/engine/spec";
import { isQuiet, resolveDrift } from "../decide/resolve-drift.ts";
import type { LocalHost } from "../links/host-link.ts";
import { type Decky, type DriftPolicy, observedOf } from "../model/decky.ts";
import { stateEvent } from "../model/events.ts";
import { makeOperationId } from "../model/operation.ts";
import { toSpec } from "../model/spec.ts";
import type { Lease } from "../store/leases.ts";
import type { Store } from "../store/store.ts";
import type { Converger } from "./converger.ts";

export interface DriftCheckOptions {
  readonly store: Store;
  readonly converger: Converger;
  readonly log: Logger;
  /** Of the host that is checked. */
  readonly lease: () => Lease;
  readonly onDrift: (what: "repaired" | "reported") => void;
}

/** So many deckies are read, compared or stored before others get their turn. */
const batchSize = 32;

/**
 * A drift check of a host: stores what was seen of each decky that changed, starts a repair (or reports what drifted, as the
 * fleet's policy wants), and wakes whatever still has work to do. Deckies that are being changed are left alone. When the host
 * does not answer, its deckies become unknown. A check that finds all as it was writes one row, however many deckies there are.
 * One that is made because the engine is there again (`isEarly`) waits for no pause between repairs: what went went with it.
 */
export function createDriftCheck(host: LocalHost, options: DriftCheckOptions): (isEarly: boolean) => Promise<void> {
  const { store, converger, log } = options;
  const remembered = rememberDeckies(host.name, options);
  return async (isEarly) => {
    const known = await remembered();
    const [open, policy] = await Promise.all([store.operations.openDeckies(host.name), store.fleets.driftPolicy()]);
    const checkedAt = new Date();
    let checked: Awaited<ReturnType<LocalHost["check"]>>;
    try {
      checked = await host.check(known.filter(({ decky }) => !decky.leaving).map(({ spec }) => spec));
    } catch (error) {
      log.warn(`the host ${isNotObserved(error) ? "cannot be observed" : "does not answer"}`, { host: host.name, err: error });
      await markUnknown(host.name, error, store);
      return;
    }
    await reportStrays(host.name, known, checked.strays, options);
    const changed: Changed[] = [];
    for (const [index, { decky }] of known.entries()) {
      if (index % batchSize === 0) await setImmediate();
      const seen = checked.deckies.get(deckyKey(decky));
      if (open.has(decky.id)) converger.wake(decky.id);
      else if (seen !== undefined && !isAsStored(decky, seen, checkedAt) && !converger.isBusy(decky.id))
        changed.push({ decky, seen });
    }
    for (let at = 0; at < changed.length; at += batchSize)
      await Promise.all(changed.slice(at, at + batchSize).map((each) => note(each, { policy, checkedAt, isEarly }, options)));
    await store.deckies.noteDriftCheck(host.name, checkedAt);
  };
}

interface RememberedDecky {
  readonly decky: Decky;
  readonly spec: DeckySpec;
}

interface Changed {
  readonly decky: Decky;
  readonly seen: CheckedDecky;
}

/** A host's deckies, of which only those are read again that changed since the last time. */
function rememberDeckies(host: string, { store }: DriftCheckOptions): () => Promise<RememberedDecky[]> {
  const known = new Map<string, RememberedDecky>();
  return async () => {
    const versions = new Map((await store.deckies.versions(host)).map(({ id, version }) => [id, version]));
    for (const id of known.keys()) if (!versions.has(id)) known.delete(id);
    const stale = [...versions].filter(([id, version]) => known.get(id)?.decky.version !== version).map(([id]) => id);
    const readSize = batchSize * 8;
    for (let at = 0; at < stale.length; at += readSize)
      for (const { decky, services } of await store.deckies.showAll(stale.slice(at, at + readSize)))
        known.set(decky.id, { decky, spec: toSpec(decky, services, decky.desiredRevision) });
    return [...known.values()];
  };
}

function isAsStored(decky: Decky, { judged, plan }: CheckedDecky, checkedAt: Date): boolean {
  return (
    isQuiet(plan) &&
    !isRested(decky, checkedAt) &&
    decky.state === judged.state &&
    decky.message === judged.message &&
    (judged.state === "unknown" || isDeepStrictEqual(decky.observed, observedOf(judged)))
  );
}

/**
 * What was seen of a decky that somebody began to change meanwhile is old: its version is another one then, and nothing is
 * stored.
 */
async function note(
  { decky, seen }: Changed,
  check: { readonly policy: DriftPolicy; readonly checkedAt: Date; readonly isEarly: boolean },
  { store, converger, lease, onDrift }: DriftCheckOptions,
): Promise<void> {
  const resolution = resolveDrift({ decky, seen, ...check, makeId: makeOperationId });
  if (resolution === undefined || !(await store.resolutions.commit({ decky, resolution, lease: lease() }))) return;
  if (resolution.events.length > 0) store.events.wake();
  if (resolution.opens.length > 0) {
    onDrift("repaired");
    converger.wake(decky.id);
  } else if (!isQuiet(seen.plan) && resolution.events.length > 0) onDrift("reported");
}

/** What we made and do not know any more is reported and left alone: an older database may have been restored. */
async function reportStrays(
  host: string,
  known: readonly RememberedDecky[],
  strays: Awaited<ReturnType<LocalHost["check"]>>["strays"],
  { store, log }: DriftCheckOptions,
): Promise<void> {
  const keys = new Set(known.map(({ decky }) => deckyKey(decky)));
  const unknown = strays.filter((stray) => !keys.has(deckyKey(stray)));
  if (unknown.length === 0) return;
  const leaving = await store.transaction((tx) => store.deckies.toRemoveFrom(tx, host));
  const leavingKeys = new Set(leaving.map((decky) => deckyKey(decky)));
  for (const stray of unknown)
    if (!leavingKeys.has(deckyKey(stray)))
      log.warn("containers of an unknown decky", {
        decky: deckyKey(stray),
        containers: stray.containers.map((each) => each.name),
      });
}

async function markUnknown(host: string, error: unknown, store: Store): Promise<void> {
  const cause = error instanceof Error ? error.message : String(error);
  const message = isNotObserved(error) ? `host ${host}: ${cause}` : `host ${host} does not answer: ${cause}`;
  const known = await store.transaction(async (tx) => {
    const deckies = await store.deckies.markUnknown(tx, host, message);
    store.events.append(
      tx,
      deckies.flatMap((decky) => stateEvent(decky, "unknown", message)),
    );
    return deckies.length;
  });
  if (known > 0) store.events.wake();
}
