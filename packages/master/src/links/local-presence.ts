import { AppError } from "@decnet/common/errors/app-error";
import { patience } from "@decnet/common/runtime/patience";
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
  /** By a look that was made just now, whoever asked for it. Throws what the engine said, when it is not there. */
  require(): Promise<void>;
  /** Called whenever the engine is there again. */
  onReturn(listener: () => void): void;
  watch(signal: AbortSignal): Promise<void>;
}

const everyMs = 1_000;
/** A look that is not older than this serves everybody. */
const freshMs = everyMs + 500;
/** An engine that is only busy answers in this time; one that was stopped refuses at once. */
const patienceMs = 3_000;

export function createLocalPresence(local: LocalHost): LocalPresence {
  const listeners = new Set<() => void>();
  let lost: Date | undefined;
  let looking: Promise<boolean> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let problem: unknown;
  /** Those that wait for a frozen engine. */
  const waiting = new Set<() => void>();
  const ask = async (): Promise<boolean> => {
    const begunAt = performance.now();
    const late = patience(patienceMs).then(() => new Error(`no answer within ${patienceMs / 1_000} s`));
    problem = await Promise.race([
      local.ping().then(
        () => undefined,
        (error: unknown) => error,
      ),
      late,
    ]);
    lookedAt = begunAt;
    const isThere = problem === undefined;
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
    async require() {
      if (performance.now() - lookedAt > freshMs) await look();
      if (problem !== undefined) throw problem;
    },
    onReturn: (listener) => void listeners.add(listener),
    watch: (signal) => repeatUntilAborted(everyMs, signal, look, () => undefined),
  };
}
