import type { ProgramMetrics } from "@decnet/common/metrics/program-metrics";
import type { Explained } from "./bus/explain.ts";
import type { RelayStatus } from "./store/relays.ts";

/** Figures of the bus; not known where there is none. */
export interface BusMetrics {
  readonly sent: (count: number) => void;
  readonly trouble: (why: Explained) => void;
  readonly command: (result: string) => void;
  /** What is asked of the database, whenever figures are asked for; undefined while it is not known. */
  watch(status: () => Promise<RelayStatus | undefined>): void;
}

export function createBusMetrics({ counter, gauge }: Pick<ProgramMetrics, "counter" | "gauge">): BusMetrics {
  const sent = counter({ name: "decnet_bus_sent_total", help: "Events that this master sent and the bus has." });
  const errors = counter({
    name: "decnet_bus_errors_total",
    help: "Attempts to send that failed, by cause.",
    labels: ["cause"],
  });
  const commands = counter({
    name: "decnet_bus_commands_total",
    help: "Commands from the bus, by what became of them: accepted, or the reason of the refusal.",
    labels: ["result"],
  });
  return {
    command: (result) => commands({ result }),
    sent: (count) => sent({}, count),
    trouble: ({ kind }) => errors({ cause: kind }),
    watch(status) {
      const now = (name: string, help: string, read: (status: RelayStatus) => number) =>
        gauge({ name, help }, async () => {
          const known = await status();
          return known === undefined ? [] : [{ labels: {}, value: read(known) }];
        });
      now(
        "decnet_bus_waiting_events",
        "Events that the bus does not have yet; no more than 100,000 are counted.",
        ({ waiting }) => waiting,
      );
      now("decnet_bus_oldest_waiting_seconds", "Age of the oldest event that the bus does not have yet.", ({ oldestWaiting }) =>
        oldestWaiting === null ? 0 : Math.max(0, Date.now() - oldestWaiting.getTime()) / 1_000,
      );
      now("decnet_bus_in_trouble", "1 while the bus does not take events.", ({ trouble }) => (trouble === null ? 0 : 1));
      now("decnet_bus_dropped_events", "Events that were removed before the bus had them.", ({ dropped }) => dropped);
    },
  };
}
