import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { type Bounded, createBounded } from "@decnet/common/runtime/bounded";

/** Calls of workers that write. One worker has one place, whatever it calls: it keeps itself waiting, and nobody else. */
export interface HostCalls {
  /**
   * Does the work of a call when the earlier ones of its host are done. Throws HOST_BUSY when too many wait already, or while the
   * host is held; `work` gets a signal that also ends with the hold.
   */
  run<T>(
    host: { readonly id: string; readonly name: string },
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /** Ends what runs for a host, and lets nothing begin before the result is called: whatever is locked for it is free then. */
  hold(hostId: string): Promise<() => void>;
}

const mostWaiting = 8;
const patienceMs = 15_000;
/** A call that does not end by then is not waited for: a database that is away says so to everybody. */
const holdMs = 2_000;

class Held extends AppError {
  constructor(name: string) {
    super("HOST_BUSY", `${name} is being changed`, { metadata: { host: name }, retryAfterMs: 1_000 });
  }
}

interface Place {
  readonly enter: Bounded;
  waiting: number;
  holds: number;
  readonly running: Map<AbortController, Promise<unknown>>;
}

export function createHostCalls(): HostCalls {
  const places = new Map<string, Place>();
  const placeOf = (id: string): Place => {
    const present = places.get(id);
    if (present !== undefined) return present;
    const late = () => new AppError("HOST_BUSY", "an earlier call of this worker takes too long", { retryAfterMs: 1_000 });
    const made: Place = { enter: createBounded(1, patienceMs, late), waiting: 0, holds: 0, running: new Map() };
    places.set(id, made);
    return made;
  };
  return {
    async run({ id, name }, signal, work) {
      const place = placeOf(id);
      if (place.holds > 0) throw new Held(name);
      if (place.waiting >= mostWaiting)
        throw new AppError("HOST_BUSY", `${place.waiting} calls of ${name} wait already`, {
          metadata: { host: name },
          retryAfterMs: 1_000,
        });
      const ending = new AbortController();
      const onAbort = () => ending.abort(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      place.waiting += 1;
      const begin = async () => {
        ending.signal.throwIfAborted();
        return work(ending.signal);
      };
      const running = place.enter(begin, ending.signal);
      place.running.set(ending, running);
      try {
        return await running;
      } finally {
        place.waiting -= 1;
        place.running.delete(ending);
        signal.removeEventListener("abort", onAbort);
      }
    },
    async hold(hostId) {
      const place = placeOf(hostId);
      place.holds += 1;
      for (const ending of place.running.keys()) ending.abort(new Held("the worker"));
      const given = new AbortController();
      const up = delay(holdMs, undefined, { signal: given.signal }).catch(() => undefined);
      await Promise.race([Promise.allSettled(place.running.values()), up]);
      given.abort();
      return () => {
        place.holds -= 1;
      };
    },
  };
}
