import type { Catalogue } from "@decnet/engine/catalogue/types";
import type { DeckyStore, NewRevision } from "../deckies/decky-store.ts";
import { diffServices } from "../deckies/services.ts";
import type { StoredService } from "../deckies/types.ts";
import type { OperationStore } from "../operations/operation-store.ts";
import type { OperationKind } from "../operations/types.ts";
import type { Tx } from "../persistence/database.ts";
import { Deckies, type DeckyRow, type OperationRow } from "../persistence/tables.ts";
import { insertRows, updateRows } from "../persistence/write.ts";

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

/** The row of a decky that is to live on another host. */
export function moveTo(row: DeckyRow, host: string): DeckyRow {
  // Back to where it has not left yet is no detour.
  return { ...row, host, previousHost: row.previousHost === host ? null : row.host };
}

type Stores = { readonly deckies: DeckyStore; readonly operations: OperationStore; readonly catalogue: Catalogue };

interface StoredChange {
  readonly operation: OperationRow;
  readonly revision: NewRevision;
  readonly deployed: DeckyRow | undefined;
}

/**
 * Stores the parts of an operation about many deckies, in its transaction: a revision and an operation for each decky that differs. What is new goes into
 * few statements.
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

/** Changes the row of a decky that is there; what is new is returned, to be stored together. */
async function storeChange(
  tx: Tx,
  parent: OperationRow,
  { action, decky, before, services }: DeckyChange & { readonly action: Exclude<Action, "keep"> },
  { deckies, operations, catalogue }: Stores,
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
    plan: { steps: [], untouched: [], risks: [], baseRevision: decky.desiredRevision, digest: "", text: "", changes },
  });
  if (action !== "deploy") {
    await deckies.lockById(tx, decky.id);
    const patch = {
      desiredRevision: revision,
      leaving: action === "teardown",
      lastOperation: operation.id,
      state: "changing",
      identity: decky.identity,
      ip: decky.ip,
      host: decky.host,
      previousHost: decky.previousHost,
      ...(action === "move" ? { renderedRevision: 0 } : {}),
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
