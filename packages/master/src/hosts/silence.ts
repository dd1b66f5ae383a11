import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@decnet/common/logging/logger";
import type { HostRegistry } from "../links/host-registry.ts";
import { stateFact } from "../model/events.ts";
import { hostFact } from "../model/host-events.ts";
import { In, IsNull, Not } from "../store/conditions.ts";
import type { Database } from "../store/database.ts";
import type { HostStore } from "../store/hosts.ts";
import type { EventLog } from "../store/outbox.ts";
import { Deckies, type DeckyRow, type HostRow, Hosts } from "../store/tables.ts";
import { updateRows } from "../store/write.ts";

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
const noteSeenMs = 30_000;

/** Says of hosts that are silent that they are, and of their deckies that nothing is known of them any more. */
export async function watchSilence(options: SilenceOptions): Promise<void> {
  const { database, hosts, hostStore, stopping, graceMs, log } = options;
  const startedAt = new Date();
  const told = new Map<string, number>();
  const look = async () => {
    await noteSeen();
    // Of hosts that are here there is nothing to read.
    for (const row of await database.read((tx) => hostStore.others(tx, hosts.names))) {
      if (hosts.isReachable(row.name)) continue;
      // This master may never have seen it: then it waits for it from its own start, and says when it was seen last.
      const lost = hosts.lostAt(row.name);
      const since = lost ?? row.lastSeen;
      if (since === null || Date.now() - (lost ?? startedAt).getTime() < graceMs) continue;
      await sayUnknown(row, since, told.get(row.name) !== since.getTime(), options);
      told.set(row.name, since.getTime());
    }
  };
  let notedAt = 0;
  /** A master that is killed leaves behind when hosts were seen, give or take this. */
  const noteSeen = async () => {
    if (Date.now() - notedAt < noteSeenMs) return;
    notedAt = Date.now();
    await database.read((tx) =>
      updateRows(tx, Hosts, { name: In([...hosts.names]), decommissionedAt: IsNull() }, { lastSeen: new Date() }),
    );
  };
  while (!stopping.aborted) {
    await look().catch((error: unknown) => log.error("looking for silent hosts failed", { err: error }));
    await delay(everyMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

/** A change that was asked for meanwhile, or given up, makes nothing known: it is said again of every decky that has another state. */
async function sayUnknown(
  { id, name }: Pick<HostRow, "id" | "name" | "lastSeen">,
  since: Date,
  isNew: boolean,
  { database, events, hosts }: SilenceOptions,
): Promise<void> {
  const message = `host ${name} is silent since ${since.toISOString()}`;
  const where = { host: name, state: Not<DeckyRow["state"]>("unknown") };
  if (!isNew && (await database.read((tx) => tx.getRepository(Deckies).countBy(where))) === 0) return;
  await database.transaction(async (tx) => {
    // Its reports take the same lock: one that comes now says how things are afterwards.
    await tx.getRepository(Hosts).findOne({ where: { id }, lock: { mode: "pessimistic_write" } });
    if (hosts.isReachable(name)) return;
    const rows = await tx.getRepository(Deckies).find({ where, lock: { mode: "pessimistic_write" } });
    await updateRows(tx, Deckies, where, { state: "unknown", message });
    if (isNew) await updateRows(tx, Hosts, { id }, { lastSeen: since });
    await events.append(tx, [
      ...rows.flatMap((row) => stateFact(row, "unknown", message)),
      ...(isNew ? hostFact(name, "unreachable", message) : []),
    ]);
  });
  // A report may have come before the connection was taken note of.
  hosts.wantResync(name);
  events.wake();
}
