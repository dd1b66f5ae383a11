import type { Catalog } from "@decnet/engine/catalog/types";
import type { Board } from "../convergence/board.ts";
import type { Converger } from "../convergence/converger.ts";
import { type DeckyChange, hostsNeededBy } from "../decide/decky-change.ts";
import { unchanged } from "../decide/fleet-difference.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Host, HostPatch } from "../model/host.ts";
import { makeOperation, type Operation, type OperationKind, type OperationRecord, type PlanRecord } from "../model/operation.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import { type ChangeRequest, dryRunRecord, type FrontDoor, type PlannedChange, planMoved, requested } from "./accept.ts";
import { storeParts } from "./store-parts.ts";

export interface HostRequest extends ChangeRequest {
  readonly name: string;
}

/** What a change makes of a host, found in the transaction that stores it. */
export interface PreparedHostChange {
  readonly changes: readonly DeckyChange[];
  readonly plan: PlanRecord;
  readonly patch: HostPatch;
  /** More is to be done than the changes. */
  readonly goesOn: boolean;
}

export interface HostChange<Finished> {
  readonly kind: OperationKind;
  /** Whether it can wait for hosts that are away: its parts do then. One that cannot says itself when it is refused. */
  readonly mayWait: boolean;
  /** Throws what refuses the change. */
  prepare(tx: Tx, host: Host): Promise<PreparedHostChange>;
  /** Goes into the same transaction, after the rest. */
  finish(tx: Tx, host: Host): Promise<Finished>;
}

export interface SubmittedHostChange<Finished> {
  readonly record: OperationRecord;
  /** Undefined when nothing was stored now: a dry run, or a repeated call. */
  readonly finished: Finished | undefined;
}

export interface HostChangeOptions {
  readonly store: Store;
  readonly door: FrontDoor;
  readonly hosts: HostRegistry;
  readonly board: Board;
  readonly converger: Converger;
  readonly catalog: Catalog;
}

/**
 * The way of a change of a host: the host as it is to be, the operation and a part for each of its deckies, in one transaction.
 */
export async function submitHostChange<Finished>(
  request: HostRequest,
  change: HostChange<Finished>,
  options: HostChangeOptions,
): Promise<SubmittedHostChange<Finished>> {
  const { store, door, converger, catalog } = options;
  let finished: Finished | undefined;
  const operationOf = (plan: PlanRecord): Operation =>
    makeOperation({ ...requested(request), kind: change.kind, host: request.name, plan });
  const prepare = async (tx: Tx) => {
    const host = await store.hosts.find(request.name, tx);
    return { host, ...(await change.prepare(tx, host)) };
  };
  const storeAll = async (tx: Tx, expected: string) => {
    await store.fleets.lockPlacement(tx);
    await store.hosts.find(request.name, tx);
    // In the order in which changes of topologies lock.
    await store.topologies.ofHost(tx, request.name, "locked");
    await store.deckies.lockHost(tx, request.name);
    const { host, changes, plan, patch, goesOn } = await prepare(tx);
    if (expected !== "" && expected !== plan.digest) throw planMoved(`host ${request.name}`, expected);
    await store.hosts.update(tx, host.id, patch);
    const now = new Date();
    const isDone = changes.length === 0 && !goesOn;
    const end = isDone ? ({ state: "succeeded", finishedAt: now } as const) : ({ state: "running" } as const);
    const row = { ...operationOf(plan), startedAt: now, ...end };
    const parts = await storeParts(
      tx,
      row,
      changes.map((each) => ({ change: each, expectedPlan: "" })),
      { store, catalog },
    );
    return { row, parts, finished: await change.finish(tx, host) };
  };
  const record = await door.accept<PlannedChange>(request, {
    what: `host ${request.name}`,
    async plan() {
      const { plan } = await store.transaction(prepare);
      return { digest: plan.digest, record: dryRunRecord(operationOf(plan)) };
    },
    hostsNeeded: async () => {
      if (!change.mayWait) return [];
      return store.transaction(async (tx) => {
        const movePolicy = (await store.fleets.settings(tx))?.movePolicy ?? "remove_first";
        return (await prepare(tx)).changes.flatMap((each) => hostsNeededBy(each, movePolicy));
      });
    },
    async store(planned) {
      const done = await store.transaction((tx) => storeAll(tx, planned?.digest ?? ""));
      finished = done.finished;
      store.events.wake();
      converger.wakeAll(done.parts);
      return { row: done.row, steps: [], children: done.parts.map(({ id }) => id) };
    },
  });
  return { record, finished };
}

/** The deckies of a host that nobody tears down yet, each with its services. */
export async function deckiesOf(tx: Tx, host: string, { deckies }: Pick<Store, "deckies">): Promise<DeckyChange[]> {
  const present = (await deckies.ofHost(tx, host)).filter((decky) => !decky.leaving);
  const services = await deckies.desiredServices(tx, present);
  return present.map((decky) => unchanged(decky, "teardown", services.get(decky.id) ?? []));
}
