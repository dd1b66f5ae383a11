import type { RelayStatus, RelayStore } from "../store/relays.ts";
import { kafkaSink } from "./bus.ts";
import type { Explained } from "./explain.ts";
import type { BusConfig } from "./settings.ts";

/** What is known of the bus, for whoever asks: readiness, figures, callers. */
export interface BusWatch {
  /** Whether there is one. */
  readonly isConfigured: boolean;
  /** As it was at most a second ago; undefined before anybody sent. Callers that ask together share one look. */
  status(): Promise<RelayStatus | undefined>;
  /** Of its topics; empty when there is none. */
  readonly prefix: string;
  readonly takesCommands: boolean;
  /** What keeps this master from reading commands; undefined: nothing does. */
  readonly commandsTrouble: () => Explained | undefined;
  noteCommands(trouble: Explained | undefined): void;
}

const freshMs = 1_000;

export function createBusWatch(
  store: Pick<RelayStore, "status">,
  config: Pick<BusConfig, "prefix" | "takesCommands"> | undefined,
): BusWatch {
  const isConfigured = config !== undefined;
  let trouble: Explained | undefined;
  let look: Promise<RelayStatus | undefined> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return {
    isConfigured,
    prefix: config?.prefix ?? "",
    takesCommands: config?.takesCommands ?? false,
    commandsTrouble: () => trouble,
    noteCommands(why) {
      trouble = why;
    },
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
