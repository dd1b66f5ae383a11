import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Logger } from "@decnet/common/logging/logger";
import type { Store } from "../store/store.ts";
import { type CarryOut, takeCommands } from "./commands.ts";
import type { Explained } from "./explain.ts";
import { openSender } from "./kafka.ts";
import { createRelay } from "./relay.ts";
import type { BusConfig } from "./settings.ts";

export interface BusOptions {
  readonly config: BusConfig | undefined;
  readonly store: Pick<Store, "relays" | "events" | "tokens">;
  readonly installation: string;
  /** Tells a data folder from every other one. */
  readonly holder: string;
  readonly log: Logger;
  readonly onSent: (count: number) => void;
  readonly onTrouble: (why: Explained) => void;
  readonly carryOut: CarryOut;
  readonly onCommand: (result: string) => void;
  readonly onCommandsTrouble: (why: Explained | undefined) => void;
}

/** The name of our one sink, in the database. */
export const kafkaSink = "kafka";

/** Sends events on, and takes commands when that is wanted, until aborted; without brokers there is nothing to do. */
export async function runBus(options: BusOptions, signal: AbortSignal): Promise<void> {
  const { config, store, installation, holder, log } = options;
  if (config === undefined) return;
  const relay = createRelay({
    ...options,
    store: store.relays,
    claim: { sink: kafkaSink, holder, instance: randomUUID(), place: `process ${process.pid} on ${hostname()}` },
    envelope: { source: `urn:uuid:${installation}`, format: config.format, prefix: config.prefix },
    open: () => openSender(config, log),
  });
  store.events.onWake(relay.wake);
  const { tokens } = store;
  const commands = config.takesCommands
    ? takeCommands({ ...options, config, tokens, onTrouble: options.onCommandsTrouble }, signal)
    : undefined;
  await Promise.all([relay.run(signal), commands]);
}
