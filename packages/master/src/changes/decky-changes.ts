import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { StoredService } from "../model/decky.ts";
import type { OperationKind } from "../model/operation.ts";
import { diffServices } from "../model/services.ts";
import type { Tx } from "../store/database.ts";
import type { DeckyStore, NewRevision } from "../store/deckies.ts";
import type { OperationStore } from "../store/operations.ts";
import { Deckies, type DeckyRow, type OperationRow } from "../store/tables.ts";
import { insertRows, updateRows } from "../store/write.ts";

export type Action = "deploy" | "change" | "redeploy" | "move" | "teardown" | "keep";

/** What becomes of one decky in a change of many. `decky` is its row as it is to be. */
export interface DeckyChange {
  readonly action: Action;
  readonly decky: DeckyRow;
  readonly before: readonly StoredService[];
  readonly services: readonly StoredService[];
}

const kindOf = {
  deploy: "deploy_decky",
  change: "change_decky",
  redeploy: "change_decky",
  move: "move_decky",
  teardown: "teardown_decky",
} as const satisfies Record<Exclude<Action, "keep">, OperationKind>;

/**
 * The row of a decky that is to live on another host. It leaves every host that may have something of it; `isTold` false: its present host was never told of
 * it.
 */
export function moveTo(row: DeckyRow, host: string, isTold = true): DeckyRow {
  const left = [...row.leavingHosts.filter((other) => other !== row.host), ...(isTold ? [row.host] : [])];
  return { ...row, host, leavingHosts: left.filter((other) => other !== host), renderedRevision: 0 };
}

type Stores = { readonly deckies: DeckyStore; readonly operations: OperationStore; readonly catalogue: Catalogue };

interface StoredChange {
  readonly operation: OperationRow;
  readonly revision: NewRevision;
  readonly deployed: DeckyRow | undefined;
}

/**
 * Stores the parts of an operation about many deckies, in its transaction, which holds the locks of those that are there: a revision and an operation for
 * each decky that differs. What is new goes into few statements.
 */
export async function storeDeckyChanges(
  tx: Tx,
  parent: OperationRow,
  changes: readonly DeckyChange[],
  stores: Stores,
): Promise<OperationRow[]> {
  const stored: StoredChange[] = [];
  for (const { action, ...change } of changes)
    if (action !== "keep") stored.push(await storeChange(tx, parent, { ...change, action }, stores));
  const operations = stored.map(({ operation }) => operation);
  await insertRows(
    tx,
    Deckies,
    stored.flatMap(({ deployed }) => deployed ?? []),
  );
  await stores.operations.insertAll(tx, operations);
  await stores.deckies.addRevisions(
    tx,
    stored.map(({ revision }) => revision),
  );
  return operations;
}

/** Where a decky goes, and what it leaves: its present host as well, unless nothing was begun there. Its open operations go along. */
async function move(
  tx: Tx,
  wanted: DeckyRow,
  operations: OperationStore,
): Promise<Pick<DeckyRow, "host" | "leavingHosts" | "renderedRevision">> {
  const now = await tx.getRepository(Deckies).findOneByOrFail({ id: wanted.id });
  const open = await operations.openOf(tx, wanted.id);
  const isTold = now.renderedRevision > 0 || open.some(({ state }) => state === "running");
  const { host, leavingHosts, renderedRevision } = moveTo(now, wanted.host, isTold);
  for (const operation of open) await operations.update(tx, operation.id, { host });
  return { host, leavingHosts, renderedRevision };
}

/** Changes the row of a decky that is there; what is new is returned, to be stored together. */
async function storeChange(
  tx: Tx,
  parent: OperationRow,
  { action, decky, before, services }: DeckyChange & { readonly action: Exclude<Action, "keep"> },
  { operations, catalogue }: Stores,
): Promise<StoredChange> {
  const revision = action === "deploy" ? 1 : decky.desiredRevision + 1;
  const changes = diffServices(before, action === "teardown" ? [] : services, catalogue);
  const operation = operations.make({
    kind: kindOf[action],
    actor: parent.actor,
    reason: parent.reason,
    onFailure: parent.onFailure,
    parent: parent.id,
    deckyId: decky.id,
    deckyName: decky.name,
    host: decky.host,
    revision,
    whenAway: parent.whenAway,
    plan: { steps: [], untouched: [], risks: [], baseRevision: decky.desiredRevision, digest: "", text: "", changes },
  });
  const moved = action === "move" ? await move(tx, decky, operations) : undefined;
  if (action !== "deploy") {
    const patch = {
      desiredRevision: revision,
      leaving: action === "teardown",
      lastOperation: operation.id,
      state: "changing",
      identity: decky.identity,
      ip: decky.ip,
      ...moved,
      hold: false,
      retryAt: null,
    } as const;
    await updateRows(tx, Deckies, { id: decky.id }, patch);
  }
  const { actor, reason } = parent;
  return {
    operation,
    revision: { decky, number: revision, services, actor, reason, operationId: operation.id },
    deployed: action === "deploy" ? { ...decky, lastOperation: operation.id } : undefined,
  };
}
