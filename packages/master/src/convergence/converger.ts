import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { nextStep } from "../decide/next-step.ts";
import { resolvePostponed, retryDelayMs } from "../decide/resolve-waiting.ts";
import type { Situation } from "../decide/situation.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky } from "../model/decky.ts";
import type { Store } from "../store/store.ts";
import type { Attempts } from "./attempts.ts";
import type { Lanes, Slot } from "./lanes.ts";
import type { Removals } from "./removals.ts";

export interface ConvergerOptions {
  readonly store: Store;
  readonly hosts: HostRegistry;
  readonly lanes: Lanes;
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
 * Applies desired revisions. Level-triggered: a wake-up only says that something may be to do, the database says what. One decky never has two applies at a
 * time, different deckies run side by side, bounded for each host, and an apply that was cut off is made again from a fresh observation. What cannot be done
 * because a host is away waits for its connection and keeps nothing else waiting.
 */
export interface Converger {
  wake(deckyId: string): void;
  /** Wakes every decky that has something to do on a host, or has to be removed from it. */
  wakeHost(host: string): Promise<void>;
  /** Undefined when an apply of this decky could not begin at once. */
  reserve(situation: Situation): Reservation | undefined;
  /** Ends the step that runs now for the decky, whose operation is undone then. */
  interrupt(deckyId: string): void;
  isBusy(deckyId: string): boolean;
  /** The host that is away and without which the decky does not go on, as found when it was last looked at. */
  blockedOn(deckyId: string): string | undefined;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

interface Handed {
  readonly situation: Situation;
  readonly slot: Slot;
}

/** Until a host is asked again to remove a decky that moved away. */
const removeAgainMs = 5_000;
/** Until a decky is looked at again when not even that it has to wait could be stored. */
const lookAgainMs = 2_000;

export function createConverger(options: ConvergerOptions): Converger {
  const { store, hosts, lanes, attempts, removals, log, stopping } = options;
  const dirty = new Set<string>();
  const handed = new Map<string, Handed>();
  const drivers = new Map<string, Promise<void>>();
  const blocked = new Map<string, string>();

  const wake = (deckyId: string) => {
    dirty.add(deckyId);
    if (drivers.has(deckyId) || stopping.aborted) return;
    const driver = drive(deckyId).finally(() => {
      drivers.delete(deckyId);
      if (dirty.has(deckyId)) wake(deckyId);
    });
    drivers.set(deckyId, driver);
  };
  const wakeLater = (deckyId: string, delayMs: number) => void setTimeout(() => wake(deckyId), delayMs).unref();

  const drive = async (deckyId: string): Promise<void> => {
    while (dirty.delete(deckyId) && !stopping.aborted) {
      const given = handed.get(deckyId);
      handed.delete(deckyId);
      try {
        if (await takeStep(deckyId, given)) dirty.add(deckyId);
      } catch (error) {
        if (stopping.aborted) return;
        if (!(error instanceof AppError)) log.error("an apply ended unexpectedly", { deckyId, err: error });
        await postpone(deckyId, error);
      } finally {
        given?.slot.release();
      }
    }
  };

  /** Returns whether there may be more to do at once. */
  const takeStep = async (deckyId: string, given: Handed | undefined): Promise<boolean> => {
    const situation = given?.situation ?? (await store.situations.load({ decky: { id: deckyId } })).situation;
    const next = situation === undefined ? undefined : nextStep(situation, hosts.isReachable);
    if (next?.step.kind === "blocked") blocked.set(deckyId, next.step.host);
    else blocked.delete(deckyId);
    if (situation === undefined || next === undefined) return false;
    for (const host of next.removals) removeAside(situation.decky, host);
    switch (next.step.kind) {
      case "idle":
      case "blocked":
        return false;
      case "remove":
        for (const host of next.step.hosts) await removals.remove(situation.decky, host);
        return true;
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
      const late = await lanes.enter(host, stopping);
      const now = (await store.situations.load({ decky: { id } })).situation;
      if (now === undefined || now.decky.host !== host) late.release();
      else handed.set(id, { situation: now, slot: late });
      return true;
    }
    try {
      return await attempts.make(situation);
    } finally {
      slot.release();
    }
  };

  /** The decky runs where it is to be: a failure here says nothing about it, and is tried again. */
  const removeAside = ({ id, scope, name }: Decky, host: string): void => {
    removals.remove({ id, scope, name }, host).then(
      () => wake(id),
      (error: unknown) => {
        if (stopping.aborted) return;
        log.warn("a decky could not be removed from where it was", { decky: name, host, err: error });
        wakeLater(id, removeAgainMs);
      },
    );
  };

  /** The host or the database is away: what is wanted stays wanted, and is tried again later. */
  const postpone = async (deckyId: string, error: unknown): Promise<void> => {
    const message = error instanceof Error ? error.message : String(error);
    try {
      const decide = (situation: Situation) => resolvePostponed(situation, message);
      const stored = await store.resolver.resolve({ decky: { id: deckyId }, decide });
      store.events.wake();
      if (stored?.after !== undefined) wakeLater(deckyId, retryDelayMs(stored.after.decky, { random: Math.random }));
    } catch {
      wakeLater(deckyId, lookAgainMs);
    }
  };

  return {
    wake,
    async wakeHost(host) {
      for (const { id } of await store.deckies.unfinished(host)) wake(id);
    },
    reserve({ decky, open }) {
      if (open.length > 0 || decky.pendingRemovals.length > 0 || drivers.has(decky.id) || stopping.aborted) return undefined;
      if (!hosts.isReachable(decky.host)) return undefined;
      const slot = lanes.tryEnter(decky.host);
      if (slot === undefined) return undefined;
      let isStarted = false;
      return {
        start(situation) {
          isStarted = true;
          handed.set(decky.id, { situation, slot });
          wake(decky.id);
        },
        release() {
          if (!isStarted) slot.release();
        },
      };
    },
    interrupt: attempts.interrupt,
    blockedOn: (deckyId) => {
      const host = blocked.get(deckyId);
      return host === undefined || hosts.isReachable(host) ? undefined : host;
    },
    isBusy: (deckyId) => drivers.has(deckyId),
    idle: async () => {
      await Promise.all(drivers.values());
      await removals.idle();
    },
  };
}
