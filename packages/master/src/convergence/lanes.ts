/** A place in a host's lane. */
export interface Slot {
  /** Gives the place to the next who waits. Once is enough. */
  release(): void;
}

/**
 * For each host a lane: so many pieces of work side by side, first come, first served. A slow host keeps nobody but its own work
 * waiting.
 */
export interface Lanes {
  /** A place that is free now. */
  tryEnter(host: string): Slot | undefined;
  /** Waits for a place; a wait that is aborted ends with the signal's reason. */
  enter(host: string, signal: AbortSignal): Promise<Slot>;
}

interface Lane {
  running: number;
  readonly waiting: Set<() => void>;
}

export function createLanes(limit: number): Lanes {
  const lanes = new Map<string, Lane>();
  const laneOf = (host: string): Lane => {
    const lane = lanes.get(host) ?? { running: 0, waiting: new Set() };
    lanes.set(host, lane);
    return lane;
  };

  const slotIn = (host: string, lane: Lane): Slot => {
    let isHeld = true;
    return {
      release() {
        if (!isHeld) return;
        isHeld = false;
        const [next] = lane.waiting;
        if (next !== undefined) return next();
        lane.running -= 1;
        if (lane.running === 0) lanes.delete(host);
      },
    };
  };

  const tryEnter: Lanes["tryEnter"] = (host) => {
    const lane = laneOf(host);
    if (lane.running >= limit) return undefined;
    lane.running += 1;
    return slotIn(host, lane);
  };

  return {
    tryEnter,
    async enter(host, signal) {
      signal.throwIfAborted();
      const slot = tryEnter(host);
      if (slot !== undefined) return slot;
      const lane = laneOf(host);
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          lane.waiting.delete(takeOver);
          reject(signal.reason);
        };
        const takeOver = () => {
          lane.waiting.delete(takeOver);
          signal.removeEventListener("abort", onAbort);
          resolve(slotIn(host, lane));
        };
        lane.waiting.add(takeOver);
        signal.addEventListener("abort", onAbort, { once: true });
      });
    },
  };
}
