import { setImmediate } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "@decnet/common/logging/logger";
import type { CheckedDecky } from "@decnet/engine/engine";
import { formatPlan, type Plan } from "@decnet/engine/plan/plan";
import { type DeckySpec, deckyKey } from "@decnet/engine/spec";
import type { LocalHost } from "../links/host-link.ts";
import { stateFact } from "../model/events.ts";
import { toPlanRecord } from "../model/operation.ts";
import { ArrayContains, In, Not } from "../store/conditions.ts";
import type { Database } from "../store/database.ts";
import { type DeckyStore, toSpec } from "../store/deckies.ts";
import type { OperationStore } from "../store/operations.ts";
import type { EventLog } from "../store/outbox.ts";
import { Deckies, type DeckyRow, Fleets, Looks } from "../store/tables.ts";
import { updateRows, upsertRows } from "../store/write.ts";
import type { Converger } from "./converger.ts";

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
 * Looks at a host: stores what was seen of each decky that changed, starts a repair (or says what drifted, as the fleet's policy wants), and wakes
 * whatever still has work to do. Deckies that are being changed are left alone. When the host does not answer, its deckies become unknown. A look
 * that finds all as it was writes one row, however many deckies there are.
 */
export function createDriftWatch(host: LocalHost, options: DriftWatchOptions): () => Promise<void> {
  const { database, converger, log } = options;
  const remembered = rememberDeckies(host.name, options);
  return async () => {
    const known = await remembered();
    const { open, policy } = await database.read(async (tx) => ({
      open: await options.operations.openDeckies(tx, host.name),
      policy: (await tx.getRepository(Fleets).findOneBy({ id: 1 }))?.driftPolicy ?? "repair",
    }));
    let checked: Awaited<ReturnType<LocalHost["check"]>>;
    const lookedAt = new Date();
    try {
      checked = await host.check(known.filter(({ row }) => !row.leaving).map(({ spec }) => spec));
    } catch (error) {
      log.warn("the host does not answer", { host: host.name, err: error });
      await markUnknown(host, options, error);
      return;
    }
    // What we made and do not know any more is said and left alone: somebody may have brought an older database back.
    const keys = new Set(known.map(({ row }) => deckyKey(row)));
    const leaving = checked.strays.some((stray) => !keys.has(deckyKey(stray))) ? await leavingDeckies(database, host.name) : keys;
    for (const stray of checked.strays)
      if (!leaving.has(deckyKey(stray)) && !keys.has(deckyKey(stray)))
        log.warn("containers of an unknown decky", {
          decky: deckyKey(stray),
          containers: stray.containers.map((each) => each.name),
        });
    for (const [index, { row }] of known.entries()) {
      if (index % together === 0) await setImmediate();
      const seen = checked.deckies.get(deckyKey(row));
      if (open.has(row.id)) converger.wake(row.id, row.host);
      else if (seen !== undefined && !isAsStored(row, seen) && !converger.isBusy(row.id))
        await noteDecky(row, seen, policy, lookedAt, options);
    }
    await database.read((tx) => upsertRows(tx, Looks, [{ host: host.name, lookedAt }], ["host"]));
  };
}

interface RememberedDecky {
  /** Changes with every change of the row. */
  readonly version: string;
  readonly row: DeckyRow;
  readonly spec: DeckySpec;
}

/** A host's deckies, of which only those are read again that changed since the last time. */
function rememberDeckies(host: string, { database, deckies }: DriftWatchOptions): () => Promise<RememberedDecky[]> {
  const known = new Map<string, RememberedDecky>();
  return async () => {
    const found: { id: string; version: string }[] = await database.read((tx) =>
      tx.query("SELECT id, xmin::text AS version FROM deckies WHERE host = $1", [host]),
    );
    const versions = new Map(found.map(({ id, version }) => [id, version]));
    for (const id of known.keys()) if (!versions.has(id)) known.delete(id);
    const stale = found.filter(({ id, version }) => known.get(id)?.version !== version).map(({ id }) => id);
    for (let at = 0; at < stale.length; at += together)
      await database.read(async (tx) => {
        const rows = await tx.getRepository(Deckies).findBy({ id: In(stale.slice(at, at + together)) });
        const services = await deckies.desiredServices(tx, rows);
        for (const row of rows) {
          const spec = toSpec(row, services.get(row.id) ?? [], row.desiredRevision);
          known.set(row.id, { version: versions.get(row.id) ?? "", row, spec });
        }
      });
    return [...known.values()];
  };
}

/** So many deckies are read or compared before others get their turn. */
const together = 200;

function isAsStored(row: DeckyRow, { judged, plan }: CheckedDecky): boolean {
  return (
    isQuiet(plan) &&
    row.state === judged.state &&
    row.message === judged.message &&
    isDeepStrictEqual(row.observed, { baseId: judged.baseId, services: judged.services })
  );
}

/** Waiting for a port is no change. */
function isQuiet(plan: Plan): boolean {
  return plan.steps.every((step) => step.kind === "settle");
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
  const drifted = !isQuiet(seen.plan);
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

/** Deckies that moved away from a host and may still have containers there. */
async function leavingDeckies(database: Database, host: string): Promise<ReadonlySet<string>> {
  const rows = await database.read((tx) => tx.getRepository(Deckies).findBy({ leavingHosts: ArrayContains([host]) }));
  return new Set(rows.map((row) => deckyKey(row)));
}

/** Deckies with unfinished operations, or that have to leave a host, for the start of a master. */
export async function unfinishedDeckies(database: Database): Promise<{ id: string; host: string }[]> {
  return database.read((tx) =>
    tx.query(
      `SELECT decky.id, decky.host FROM deckies AS decky WHERE decky.leaving_hosts <> '{}'
         OR EXISTS (SELECT FROM operations WHERE decky_id = decky.id AND state IN ('pending', 'running'))`,
    ),
  );
}
