import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { HostLink, LocalHost } from "./host-link.ts";

/** Whether the engine of the master's own host is there: without it, that host is away like a worker without its connection. */
export interface LocalPresence {
  /** The own host; an engine that does not answer is looked after as soon as a call finds out. */
  readonly host: LocalHost;
  isThere(): boolean;
  lostAt(): Date | undefined;
  /** Asks the engine now. Returns whether it is there. */
  look(): Promise<boolean>;
  /** Called whenever the engine is there again. */
  onReturn(listener: () => void): void;
  watch(signal: AbortSignal): Promise<void>;
}

const everyMs = 1_000;
/** An engine that is only busy answers in this time; one that was stopped refuses at once. */
const patienceMs = 3_000;

export function createLocalPresence(local: LocalHost): LocalPresence {
  const listeners = new Set<() => void>();
  let lost: Date | undefined;
  let looking: Promise<boolean> | undefined;
  /** Those that wait for a frozen engine. */
  const waiting = new Set<() => void>();
  const ask = async (): Promise<boolean> => {
    const late = delay(patienceMs, false, { ref: false });
    const isThere = await Promise.race([
      local.ping().then(
        () => true,
        () => false,
      ),
      late,
    ]);
    const wasLost = lost !== undefined;
    lost = isThere ? undefined : (lost ?? new Date());
    if (isThere && wasLost) for (const listener of listeners) listener();
    if (!isThere) for (const giveUp of waiting) giveUp();
    return isThere;
  };
  const look = (): Promise<boolean> => {
    looking ??= ask().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const noticing = <Args extends unknown[], T>(call: (...args: Args) => Promise<T>): ((...args: Args) => Promise<T>) => {
    return async (...args) => {
      try {
        return await call(...args);
      } catch (error) {
        if (error instanceof AppError && error.reason === "ENGINE_UNAVAILABLE") await look();
        throw error;
      }
    };
  };
  const plan: HostLink["plan"] = noticing(
    (target) =>
      new Promise((resolve, reject) => {
        const giveUp = () => reject(new AppError("ENGINE_UNAVAILABLE", "the Docker engine does not answer"));
        waiting.add(giveUp);
        void local
          .plan(target)
          .then(resolve, reject)
          .finally(() => waiting.delete(giveUp));
      }),
  );
  const apply: HostLink["apply"] = noticing(local.apply);
  return {
    host: {
      ...local,
      plan,
      apply,
      get warnings() {
        return local.warnings;
      },
    },
    isThere: () => lost === undefined,
    lostAt: () => lost,
    look,
    onReturn: (listener) => void listeners.add(listener),
    watch: (signal) => repeatUntilAborted(everyMs, signal, look, () => undefined),
  };
}
