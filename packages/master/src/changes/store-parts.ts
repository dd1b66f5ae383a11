import type { Catalog } from "@decnet/engine/catalog/types";
import { type Action, type DeckyChange, decideDeckyPart } from "../decide/decky-change.ts";
import { makeOperationId, type Operation } from "../model/operation.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";

/** A change of one decky that is to be stored, with the digest of the plan that was agreed to; empty for any. */
export interface PartChange {
  readonly change: DeckyChange;
  readonly expectedPlan: string;
}

const manyParts = 500;

/**
 * Stores an operation about many deckies with its parts, in a transaction that holds the locks of the deckies that are there: a
 * revision and an operation for each decky that differs. Returns the parts.
 */
export async function storeParts(
  tx: Tx,
  parent: Operation,
  parts: readonly PartChange[],
  { store, catalog }: { readonly store: Store; readonly catalog: Catalog },
): Promise<Operation[]> {
  const moving = parts.filter(({ change }) => change.action === "move").map(({ change }) => change.decky.id);
  const open = await store.operations.openOfDeckies(tx, moving);
  const decided = parts.flatMap(({ change, expectedPlan }) =>
    isChange(change)
      ? [
          decideDeckyPart(
            parent,
            change,
            open.filter(({ deckyId }) => deckyId === change.decky.id),
            expectedPlan,
            { catalog, makeId: makeOperationId },
          ),
        ]
      : [],
  );
  const added = decided.filter((part) => part.kind === "new");
  const changed = decided.filter((part) => part.kind === "changed");
  await store.operations.insert(tx, [parent, ...added.map(({ operation }) => operation)]);
  await store.deckies.insertNew(
    tx,
    added.map(({ decky }) => decky),
    added.map(({ revision }) => revision),
  );
  await store.resolutions.write(tx, changed);
  store.events.append(
    tx,
    changed.flatMap(({ events }) => events),
  );
  if (decided.length >= manyParts) tx.afterwards(() => void store.refreshStatistics());
  return decided.map(({ operation }) => operation);
}

function isChange(change: DeckyChange): change is DeckyChange & { readonly action: Exclude<Action, "keep"> } {
  return change.action !== "keep";
}
