import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import type { HostRegistry } from "../links/host-registry.ts";
import { hostEvent, stateEvent } from "../model/events.ts";
import type { Host } from "../model/host.ts";
import { claimMs, type KnownMaster } from "../store/claims.ts";
import type { Store } from "../store/store.ts";

export interface SilenceOptions {
  readonly store: Store;
  readonly hosts: HostRegistry;
  readonly log: Logger;
  readonly stopping: AbortSignal;
  /** How long a host may be away before its deckies are unknown. */
  readonly graceMs: number;
  /** Of several masters one says it. */
  readonly speaks: () => boolean;
  /** Nobody else reaches the own host of one that is gone. */
  readonly masters: () => readonly KnownMaster[];
}

const everyMs = 1_000;
const noteSeenMs = 30_000;

/** Says of hosts and masters that are silent that they are, and of their deckies that nothing is known of them any more. */
export async function watchSilence(options: SilenceOptions): Promise<void> {
  const { store, hosts, stopping, graceMs, speaks, masters, log } = options;
  const startedAt = new Date();
  const told = new Map<string, number>();
  const check = async () => {
    await noteSeen();
    if (!speaks()) return;
    // Of hosts that are here there is nothing to read.
    for (const row of await store.hosts.others(hosts.names)) {
      if (hosts.isReachable(row.name)) continue;
      // This master may never have seen it: then it waits for it from its own start, and says when it was seen last.
      const lost = hosts.lostAt(row.name);
      const since = lost ?? latest(row.lastSeen, row.lostAt);
      const awayMs = Math.min(Date.now() - (lost ?? startedAt).getTime(), row.lostMsAgo ?? Number.POSITIVE_INFINITY);
      if (since === null || awayMs < graceMs) continue;
      await sayUnknown(row, since, told.get(row.name) !== since.getTime(), options);
      told.set(row.name, since.getTime());
    }
    // One that was told to stop may only be started again.
    for (const master of masters())
      if (!master.isThere && master.host !== hosts.own && master.silentMs > claimMs + graceMs)
        await sayMasterUnknown(master, options);
  };
  let notedAt = 0;
  /** A master that is killed leaves behind when hosts were seen, give or take this. */
  const noteSeen = async () => {
    if (Date.now() - notedAt < noteSeenMs) return;
    notedAt = Date.now();
    await store.hosts.noteSeen(hosts.names, new Date());
  };
  while (!stopping.aborted) {
    await check().catch((error: unknown) => log.error("the search for silent hosts failed", { err: error }));
    await delay(everyMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

function latest(one: Date | null, other: Date | null): Date | null {
  return one === null || other === null ? (one ?? other) : one > other ? one : other;
}

/**
 * A change that was asked for meanwhile, or given up, makes nothing known: it is said again of every decky that has another
 * state.
 */
async function sayUnknown(
  { id, name }: Pick<Host, "id" | "name" | "lastSeen">,
  since: Date,
  isNew: boolean,
  { store, hosts }: SilenceOptions,
): Promise<void> {
  const message = `host ${name} is silent since ${since.toISOString()}`;
  if (!isNew && !(await store.deckies.isAnyKnown(name))) return;
  await store.transaction(async (tx) => {
    // Its reports take the same lock: one that comes now says how things are afterwards.
    await store.hosts.lock(tx, id);
    if (hosts.isReachable(name)) return;
    const deckies = await store.deckies.markUnknown(tx, name, message);
    if (isNew) await store.hosts.update(tx, id, { lastSeen: since });
    store.events.append(tx, [
      ...deckies.flatMap((decky) => stateEvent(decky, "unknown", message)),
      ...(isNew ? hostEvent(name, "unreachable", message) : []),
    ]);
  });
  // A report may have come before the connection was noted.
  hosts.wantResync(name);
  store.events.wake();
}

/** When it is back, its drift check says how its deckies are. */
async function sayMasterUnknown({ host, heardAt }: KnownMaster, { store, hosts }: SilenceOptions): Promise<void> {
  if (!(await store.deckies.isAnyKnown(host))) return;
  const message = `the master of host ${host} is not heard of since ${heardAt.toISOString()}`;
  await store.transaction(async (tx) => {
    if (hosts.isReachable(host) || !(await store.masters.lockSilent(tx, host))) return;
    const deckies = await store.deckies.markUnknown(tx, host, message);
    store.events.append(
      tx,
      deckies.flatMap((decky) => stateEvent(decky, "unknown", message)),
    );
  });
  store.events.wake();
}
