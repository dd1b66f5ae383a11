import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { nextStep } from "../decide/next-step.ts";
import { refusesToWait, resolvePostponed, resolveRetry, retryDelayMs } from "../decide/resolve-waiting.ts";
import type { Situation } from "../decide/situation.ts";
import { isAway, isRefusal } from "../links/host-link.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky } from "../model/decky.ts";
import { makeOperationId } from "../model/operation.ts";
import { isStorageFault } from "../store/database-errors.ts";
import { LeaseLost } from "../store/leases.ts";
import type { Store } from "../store/store.ts";
import type { Attempts } from "./attempts.ts";
import { createDrivers, type Drivers } from "./drivers.ts";
import type { Lanes, Slot } from "./lanes.ts";
import type { Removals } from "./removals.ts";
import { wakeOrder } from "./wake-order.ts";

export interface ConvergerOptions {
  readonly store: Store;
  readonly hosts: HostRegistry;
  readonly lanes: Lanes;
  /** Places in each lane. */
  readonly parallel: number;
  readonly attempts: Attempts;
  readonly removals: Removals;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

/** A place at which an apply may begin as soon as its change is stored. */
export interface Reservation {
  /** The change was stored as running; this is what it led to. */
  start(situation: Situation): void;
  /** Gives an unused place back. */
  release(): void;
}

/**
 * Applies desired revisions. Level-triggered: a wake-up only says that something may be to do, the database says what. One decky
 * never has two applies at a time, different deckies run side by side, bounded for each host, and an apply that was cut off is
 * made again from a fresh observation. What cannot be done because a host is away waits for its connection and keeps nothing else
 * waiting.
 */
export interface Converger {
  wake(deckyId: string): void;
  /** Wakes many, in an order in which those of one host share what they need. */
  wakeAll(deckies: readonly Woken[]): void;
  /** Wakes every decky that has something to do on a host, or has to be removed from it. */
  wakeHost(host: string): Promise<void>;
  /** Undefined when an apply of this decky could not begin at once. */
  reserve(situation: Situation): Reservation | undefined;
  /** Ends the step that runs now for the decky, when it is this operation's; that is undone then. */
  interrupt(deckyId: string, operationId: string): void;
  isBusy(deckyId: string): boolean;
  /** The host that is away and without which the decky does not go on, as found when it was last looked at. */
  blockedOn(deckyId: string): string | undefined;
  /** How the last try to remove the decky from a host that it left has failed. */
  removalTrouble(deckyId: string, host: string): { readonly message: string; readonly until: Date } | undefined;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

export interface Woken {
  /** Null: there is nothing to wake. */
  readonly deckyId: string | null;
  readonly host: string;
}

interface Handed {
  readonly situation: Situation;
  readonly slot: Slot;
}

/** Until a decky is looked at again while the database is away, or when not even that it has to wait could be stored. */
const lookAgainMs = 2_000;

export function createConverger(options: ConvergerOptions): Converger {
  const { store, hosts, lanes, parallel, attempts, removals, log, stopping } = options;
  const handed = new Map<string, Handed>();
  const blocked = new Map<string, string>();

  const work = async (deckyId: string): Promise<boolean> => {
    const given = handed.get(deckyId);
    handed.delete(deckyId);
    try {
      return await takeStep(deckyId, given);
    } catch (error) {
      if (stopping.aborted) return false;
      if (error instanceof LeaseLost) return lookAgain(deckyId, error);
      if (!(error instanceof AppError)) log.error("an apply ended unexpectedly", { deckyId, err: error });
      await postpone(deckyId, error, options, drivers);
      return false;
    } finally {
      given?.slot.release();
    }
  };

  /** Its work is another master's by now, unless the host is back here in the meantime. */
  const lookAgain = (deckyId: string, error: LeaseLost): boolean => {
    log.warn("what was done here does not count", { deckyId, why: error.message });
    drivers.wakeLater(deckyId, lookAgainMs);
    return false;
  };

  const drivers = createDrivers(work, stopping);

  /** Returns whether there may be more to do at once. */
  const takeStep = async (deckyId: string, given: Handed | undefined): Promise<boolean> => {
    const situation = given?.situation ?? (await store.situations.load({ decky: { id: deckyId } })).situation;
    const next = situation === undefined ? undefined : nextStep(situation, hosts.whereIs);
    if (next?.step.kind === "blocked") blocked.set(deckyId, next.step.host);
    else blocked.delete(deckyId);
    if (situation === undefined || next === undefined) return false;
    for (const host of next.removals)
      removals.removeAside(situation.decky, host, (delayMs) => drivers.wakeLater(deckyId, delayMs));
    switch (next.step.kind) {
      case "idle":
        return false;
      case "blocked":
        return endImpatient(situation, next.step.host, options);
      case "retry":
        return retry(situation, next.step.at, options, drivers);
      case "remove":
        return removeFirst(situation, next.step.hosts, options);
      case "apply":
        return apply(situation, given?.slot);
      default:
        return next.step satisfies never;
    }
  };

  const apply = async (situation: Situation, given: Slot | undefined): Promise<boolean> => {
    const { id, host } = situation.decky;
    await removals.settled(id, host);
    const slot = given ?? lanes.tryEnter(host);
    if (slot === undefined) {
      // What was read before the wait is old: it is read again at the place that came free.
      await enterLate(id, host);
      return true;
    }
    try {
      return await attempts.make(situation);
    } finally {
      slot.release();
    }
  };

  const enterLate = async (id: string, host: string): Promise<void> => {
    const slot = await lanes.enter(host, stopping);
    try {
      const { situation } = await store.situations.load({ decky: { id } });
      if (situation?.decky.host !== host) return slot.release();
      handed.set(id, { situation, slot });
    } catch (error) {
      slot.release();
      throw error;
    }
  };

  return {
    wake: drivers.wake,
    wakeAll(deckies) {
      for (const { deckyId } of wakeOrder(deckies, parallel)) if (deckyId !== null) drivers.wake(deckyId);
    },
    async wakeHost(host) {
      removals.forgive(host);
      for (const { id } of await store.deckies.unfinished(host)) drivers.wake(id);
    },
    reserve({ decky, open }) {
      if (open.length > 0 || decky.pendingRemovals.length > 0 || drivers.isBusy(decky.id) || stopping.aborted) return undefined;
      if (hosts.whereIs(decky.host) !== "here") return undefined;
      const slot = lanes.tryEnter(decky.host);
      if (slot === undefined) return undefined;
      return reservation(slot, (situation) => {
        handed.set(decky.id, { situation, slot });
        drivers.wake(decky.id);
      });
    },
    interrupt: attempts.interrupt,
    blockedOn: (deckyId) => {
      const host = blocked.get(deckyId);
      return host === undefined || hosts.isReachable(host) ? undefined : host;
    },
    isBusy: drivers.isBusy,
    removalTrouble: removals.troubleWith,
    idle: () => drivers.idle().then(removals.idle),
  };
}

/**
 * The host or the database is away: what is wanted stays wanted, and is tried again later. A database that is away, or full, says
 * nothing about the host.
 */
async function postpone(
  deckyId: string,
  error: unknown,
  { store, hosts }: Pick<ConvergerOptions, "store" | "hosts">,
  drivers: Pick<Drivers, "wakeLater">,
): Promise<void> {
  if (isStorageFault(error)) return drivers.wakeLater(deckyId, lookAgainMs);
  const message = error instanceof Error ? error.message : String(error);
  try {
    const decide = (situation: Situation) => resolvePostponed(situation, message);
    const lease = ({ host }: Decky) => hosts.leaseOf(host);
    const stored = await store.resolver.resolve({ decky: { id: deckyId }, decide, lease });
    store.events.wake();
    if (stored?.after !== undefined) drivers.wakeLater(deckyId, retryDelayMs(stored.after.decky, { random: Math.random }));
  } catch {
    drivers.wakeLater(deckyId, lookAgainMs);
  }
}

/** A host that was never here in this master's life may only be slow to come back: that is waited for. */
async function endImpatient(
  situation: Situation,
  host: string,
  { hosts, attempts }: Pick<ConvergerOptions, "hosts" | "attempts">,
): Promise<boolean> {
  if (hosts.lostAt(host) === undefined || !situation.open.some(refusesToWait)) return false;
  try {
    hosts.link(host);
  } catch (error) {
    if (!isAway(error)) throw error;
    await attempts.giveUp(situation, error);
  }
  return true;
}

/** What is wanted and is not there is applied by a repair, as soon as it may be tried again. */
async function retry(
  situation: Situation,
  at: Date | null,
  { store: { resolver }, hosts }: Pick<ConvergerOptions, "store" | "hosts">,
  drivers: Pick<Drivers, "wakeLater">,
): Promise<boolean> {
  const { id } = situation.decky;
  const now = new Date();
  if (at !== null && at > now) {
    drivers.wakeLater(id, at.getTime() - now.getTime());
    return false;
  }
  const context = { now, makeId: makeOperationId };
  await resolver.resolve({
    decky: { id },
    from: situation,
    decide: (newest) => resolveRetry(newest, context),
    lease: ({ host }) => hosts.leaseOf(host),
  });
  return true;
}

/** Before anything else is done. Returns whether there may be more to do at once. */
async function removeFirst(
  situation: Situation,
  from: readonly string[],
  { removals, attempts }: Pick<ConvergerOptions, "removals" | "attempts">,
): Promise<boolean> {
  try {
    for (const host of from) await removals.remove(situation.decky, host);
    return true;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return attempts.refused(situation, error);
  }
}

function reservation(slot: Slot, start: (situation: Situation) => void): Reservation {
  let isStarted = false;
  return {
    start(situation) {
      isStarted = true;
      start(situation);
    },
    release() {
      if (!isStarted) slot.release();
    },
  };
}
