import type { EngineReport, ReportItem } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { deckyKey } from "@decnet/engine/spec";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import { applyResolution, mergeResolutions, type Resolution } from "../decide/resolution.ts";
import { reportedDecky, resolveRepairReport, resolveReport } from "../decide/resolve-report.ts";
import type { Decky } from "../model/decky.ts";
import { type BusEvent, hostEvent, stateEvent } from "../model/events.ts";
import type { Host } from "../model/host.ts";
import { makeOperationId, type OperationStep } from "../model/operation.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import type { ReportLimits } from "./report-limits.ts";

/** What reports are taken with. */
export interface TakingReports {
  readonly store: Store;
  readonly limits: Pick<ReportLimits, "recordsRepair">;
}

/** What a run of reports makes of one decky. */
interface Taken {
  readonly before: Decky;
  readonly now: Decky;
  readonly resolution: Resolution | undefined;
  readonly steps: readonly OperationStep[];
}

/**
 * Takes the reports of a host, in their order, inside one transaction that holds the host's row; returns what is to be told.
 * Reports that say nothing new cost two queries, however many deckies they are about. Throws DECKY_NOT_ON_HOST.
 */
export async function takeReports(tx: Tx, host: Host, items: readonly ReportItem[], taking: TakingReports): Promise<BusEvent[]> {
  const { store } = taking;
  const events: BusEvent[] = [];
  let run: ReportItem[] = [];
  let lost = 0n;
  const takeRun = async () => {
    if (run.length > 0) events.push(...(await takeDeckies(tx, host, run, taking)));
    run = [];
  };
  for (const item of items) {
    if (item.item.case === "observation" || item.item.case === "repair") run.push(item);
    // Where the engine goes away or comes back, everything before it counts first.
    if (item.item.case === "engine") {
      await takeRun();
      events.push(...(await takeEngine(tx, host, item.item.value, store)));
    }
    if (item.item.case === "gap") lost += item.item.value.lost;
  }
  await takeRun();
  if (lost > 0n) events.push(...(await takeGap(tx, host, lost, store)));
  return events;
}

async function takeDeckies(
  tx: Tx,
  host: Host,
  items: readonly ReportItem[],
  { store, limits }: TakingReports,
): Promise<BusEvent[]> {
  const now = new Date();
  let unrecorded = 0;
  const refs = items.flatMap(({ item }) =>
    item.case === "observation" || item.case === "repair" ? [parseDeckyRef(item.value.decky)] : [],
  );
  const named = new Map(refs.map((ref) => [deckyKey(ref), ref]));
  const rows = await store.deckies.lockNamed(tx, [...named.values()]);
  const open = new Set(
    (
      await store.operations.openOfDeckies(
        tx,
        rows.map(({ id }) => id),
      )
    ).map(({ deckyId }) => deckyId),
  );
  const taken = new Map(
    rows.map((decky): [string, Taken] => [deckyKey(decky), { before: decky, now: decky, resolution: undefined, steps: [] }]),
  );
  for (const { item } of items) {
    if (item.case !== "observation" && item.case !== "repair") continue;
    const key = deckyKey(parseDeckyRef(item.value.decky));
    const present = taken.get(key);
    const decky = reportedDecky(present?.now, host.name);
    if (present === undefined || decky === undefined) continue;
    if (item.case === "observation") {
      const seen = resolveReport(decky, open.has(decky.id), item.value, now);
      taken.set(key, add(present, seen, []));
    } else if (!limits.recordsRepair(decky.id)) unrecorded += 1;
    else {
      const repair = resolveRepairReport(decky, item.value, { makeId: makeOperationId, now });
      taken.set(key, add(present, repair?.resolution, repair?.steps ?? []));
    }
  }
  const decisions = [...taken.values()].flatMap(({ before, resolution, steps }) =>
    resolution === undefined ? [] : [{ decky: before, resolution: { ...resolution, events: [] }, steps }],
  );
  await store.resolutions.write(tx, decisions);
  if (unrecorded > 0) {
    const message = `${unrecorded} repairs of one decky came too fast to be true, and are not recorded`;
    await store.hosts.update(tx, host.id, { message });
  }
  return [...taken.values()].flatMap(({ resolution }) => resolution?.events ?? []);
}

function add(taken: Taken, resolution: Resolution | undefined, steps: readonly OperationStep[]): Taken {
  if (resolution === undefined) return taken;
  return {
    before: taken.before,
    now: applyResolution({ decky: taken.now }, resolution).decky ?? taken.now,
    resolution: taken.resolution === undefined ? resolution : mergeResolutions(taken.resolution, resolution),
    steps: [...taken.steps, ...steps],
  };
}

async function takeEngine(tx: Tx, host: Host, { problem }: EngineReport, store: Store): Promise<BusEvent[]> {
  await store.hosts.update(tx, host.id, { engineProblem: problem });
  if (problem === "") return [];
  const message = `the engine of ${host.name} does not answer: ${problem}`;
  const deckies = await store.deckies.markUnknown(tx, host.name, message);
  return deckies.flatMap((decky) => stateEvent(decky, "unknown", message));
}

/** A host that reconnects does not report it again: the event stays. */
async function takeGap(tx: Tx, host: Host, lost: bigint, store: Store): Promise<BusEvent[]> {
  const message = `${lost} reports were lost while it was away`;
  await store.hosts.update(tx, host.id, { message });
  return hostEvent(host.name, "connected", message);
}
