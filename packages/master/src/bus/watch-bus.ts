import type { RelayStatus, RelayStore } from "../store/relays.ts";
import { kafkaSink } from "./bus.ts";

/** What is known of the bus, for whoever asks: readiness, figures, callers. */
export interface BusWatch {
  /** Whether there is one. */
  readonly isConfigured: boolean;
  /** As it was at most a second ago; undefined before anybody sent. Callers that ask together share one look. */
  status(): Promise<RelayStatus | undefined>;
}

const freshMs = 1_000;

export function createBusWatch(store: Pick<RelayStore, "status">, isConfigured: boolean): BusWatch {
  let look: Promise<RelayStatus | undefined> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return {
    isConfigured,
    async status() {
      if (!isConfigured) return undefined;
      if (look === undefined || performance.now() - lookedAt > freshMs) {
        lookedAt = performance.now();
        look = store.status(kafkaSink);
      }
      return look;
    },
  };
}

/** An event that waits for longer is late. */
export const lateMs = 30_000;

/** Whether events come to the bus as they should. */
export function isLate({ trouble, oldestWaiting }: Pick<RelayStatus, "trouble" | "oldestWaiting">, now: number): boolean {
  return trouble !== null || (oldestWaiting !== null && now - oldestWaiting.getTime() > lateMs);
}
