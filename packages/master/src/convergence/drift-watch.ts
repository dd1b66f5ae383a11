import type { Logger } from "@decnet/common/logging/logger";
import type { CheckedDecky } from "@decnet/engine/engine";
import { formatPlan } from "@decnet/engine/plan/plan";
import { deckyKey } from "@decnet/engine/spec";
import { type DeckyStore, toSpec } from "../deckies/decky-store.ts";
import type { EventLog } from "../events/outbox.ts";
import type { OperationStore } from "../operations/operation-store.ts";
import { toPlanRecord } from "../operations/types.ts";
import { Not } from "../persistence/conditions.ts";
import type { Database } from "../persistence/database.ts";
import { Deckies, type DeckyRow, Fleets } from "../persistence/tables.ts";
import { updateRows } from "../persistence/write.ts";
import type { Converger } from "./converger.ts";
import { stateFact } from "./facts.ts";
import type { LocalHost } from "./host-link.ts";

export interface DriftWatchOptions {
  readonly database: Database;
  readonly deckies: DeckyStore;
  readonly operations: OperationStore;
  readonly events: EventLog;
  readonly converger: Converger;
  readonly log: Logger;
  readonly onDrift: (what: "repaired" | "reported") => void;
}

/**
 * Looks at a host once: stores what was seen of every decky, starts a repair (or says what drifted, as the fleet's policy wants), and wakes whatever
 * still has work to do. Deckies that are being changed are left alone. When the host does not answer, its deckies become unknown.
 */
export async function watchDrift(host: LocalHost, options: DriftWatchOptions): Promise<void> {
  const { database, deckies, converger, log } = options;
  const { rows, services, policy } = await database.read(async (tx) => {
    const found = await tx.getRepository(Deckies).findBy({ host: host.name });
    const fleet = await tx.getRepository(Fleets).findOneBy({ id: 1 });
    return { rows: found, services: await deckies.desiredServices(tx, found), policy: fleet?.driftPolicy ?? "repair" };
  });
  const staying = rows.filter((row) => !row.leaving);
  let checked: Awaited<ReturnType<LocalHost["check"]>>;
  const lookedAt = new Date();
  try {
    checked = await host.check(staying.map((row) => toSpec(row, services.get(row.id) ?? [], row.desiredRevision)));
  } catch (error) {
    log.warn("the host does not answer", { host: host.name, err: error });
    await markUnknown(host, options, error);
    return;
  }
  // What we made and do not know any more is said and left alone: somebody may have brought an older database back.
  const known = new Set(rows.map(deckyKey));
  for (const stray of checked.strays)
    if (!known.has(deckyKey(stray)))
      log.warn("containers of an unknown decky", {
        decky: deckyKey(stray),
        containers: stray.containers.map((each) => each.name),
      });
  for (const row of rows) {
    const seen = checked.deckies.get(deckyKey(row));
    const isOpen = await database.read((tx) => options.operations.openOf(tx, row.id));
    if (isOpen.length > 0) converger.wake(row.id, row.host);
    else if (seen !== undefined && !converger.isBusy(row.id)) await noteDecky(row, seen, policy, lookedAt, options);
  }
}

async function noteDecky(
  row: DeckyRow,
  seen: CheckedDecky,
  policy: "repair" | "report",
  lookedAt: Date,
  options: DriftWatchOptions,
): Promise<void> {
  const { database, deckies, operations, events, converger } = options;
  const mayAct = policy === "repair" && !row.hold && (row.retryAt === null || row.retryAt <= lookedAt);
  const drifted = seen.plan.steps.filter((step) => step.kind !== "settle").length > 0;
  const repair = await database.transaction(async (tx) => {
    const now = await deckies.lockById(tx, row.id);
    // Somebody began a change while we looked: what we saw is old.
    if (now === undefined || now.desiredRevision !== row.desiredRevision || (await operations.openOf(tx, row.id)).length > 0)
      return undefined;
    const { state, message } = seen.judged;
    const told = drifted && message === "" ? formatPlan(seen.plan) : message;
    await updateRows(
      tx,
      Deckies,
      { id: row.id },
      {
        state,
        message: told,
        observed: { baseId: seen.judged.baseId, services: seen.judged.services },
        observedAt: lookedAt,
      },
    );
    const facts = stateFact(now, state, told);
    if (!drifted || !mayAct) {
      await events.append(tx, facts);
      return { id: undefined, facts };
    }
    const operation = operations.make({
      kind: "repair",
      actor: "drift",
      reason: told,
      deckyId: row.id,
      scope: row.scope,
      deckyName: row.name,
      host: row.host,
      revision: row.desiredRevision,
      onFailure: "keep",
      plan: toPlanRecord(seen.plan, formatPlan(seen.plan), row.appliedRevision, []),
    });
    await operations.insert(tx, operation);
    await events.append(tx, facts);
    return { id: operation.id, facts };
  });
  if (repair === undefined) return;
  if (repair.facts.length > 0) events.wake();
  if (repair.id !== undefined) {
    options.onDrift("repaired");
    converger.wake(row.id, row.host);
  } else if (drifted && repair.facts.length > 0) options.onDrift("reported");
}

async function markUnknown(
  host: Pick<LocalHost, "name">,
  { database, events }: DriftWatchOptions,
  error: unknown,
): Promise<void> {
  const message = `host ${host.name} does not answer: ${error instanceof Error ? error.message : String(error)}`;
  const where = { host: host.name, state: Not<DeckyRow["state"]>("unknown") };
  const known = await database.transaction(async (tx) => {
    const rows = await tx.getRepository(Deckies).find({ where, lock: { mode: "pessimistic_write" } });
    await updateRows(tx, Deckies, where, { state: "unknown", message });
    await events.append(
      tx,
      rows.flatMap((row) => stateFact(row, "unknown", message)),
    );
    return rows.length;
  });
  if (known > 0) events.wake();
}

/** Deckies with unfinished operations, for the start of a master. */
export async function unfinishedDeckies(database: Database): Promise<{ id: string; host: string }[]> {
  return database.read((tx) =>
    tx.query(
      `SELECT DISTINCT decky.id, decky.host FROM deckies AS decky JOIN operations ON operations.decky_id = decky.id
       WHERE operations.state IN ('pending', 'running')`,
    ),
  );
}
