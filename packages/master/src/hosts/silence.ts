import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import { stateFact } from "../convergence/facts.ts";
import type { EventLog } from "../events/outbox.ts";
import { Not } from "../persistence/conditions.ts";
import type { Database } from "../persistence/database.ts";
import { Deckies, Hosts } from "../persistence/tables.ts";
import { updateRows } from "../persistence/write.ts";
import { hostFact } from "./facts.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { HostStore } from "./host-store.ts";

export interface SilenceOptions {
  readonly database: Database;
  readonly events: EventLog;
  readonly hosts: HostRegistry;
  readonly hostStore: HostStore;
  readonly log: Logger;
  readonly stopping: AbortSignal;
  /** How long a host may be away before its deckies are unknown. */
  readonly graceMs: number;
}

const everyMs = 1_000;

/** Says of hosts that are silent that they are, and of their deckies that nothing is known of them any more. */
export async function watchSilence(options: SilenceOptions): Promise<void> {
  const { database, hosts, hostStore, stopping, graceMs, log } = options;
  const startedAt = new Date();
  const told = new Set<string>();
  const look = async () => {
    for (const row of await database.read((tx) => hostStore.list(tx))) {
      if (hosts.isReachable(row.name)) {
        told.delete(row.name);
        continue;
      }
      const since = hosts.lostAt(row.name) ?? (row.lastSeen === null ? undefined : startedAt);
      if (since === undefined || told.has(row.name) || Date.now() - since.getTime() < graceMs) continue;
      await sayUnreachable(row.id, row.name, since, options);
      told.add(row.name);
    }
  };
  while (!stopping.aborted) {
    await look().catch((error: unknown) => log.error("looking for silent hosts failed", { err: error }));
    await delay(everyMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

async function sayUnreachable(id: string, host: string, since: Date, { database, events, hosts }: SilenceOptions): Promise<void> {
  const message = `host ${host} is silent since ${since.toISOString()}`;
  await database.transaction(async (tx) => {
    if (hosts.isReachable(host)) return;
    const rows = await tx.getRepository(Deckies).findBy({ host });
    await updateRows(tx, Deckies, { host, state: Not("unknown") }, { state: "unknown", message });
    await updateRows(tx, Hosts, { id }, { lastSeen: since });
    await events.append(tx, [
      ...rows.flatMap((row) => stateFact(row, "unknown", message)),
      ...hostFact(host, "unreachable", message),
    ]);
  });
  events.wake();
}
