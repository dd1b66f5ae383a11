import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import type { Catalog } from "@decnet/engine/catalog/types";
import { resolveEdit } from "../decide/topology/resolve-edit.ts";
import { makeOperationId } from "../model/operation.ts";
import type { Store } from "../store/store.ts";
import { presentOf, rotationsOf, takenHere } from "./designed.ts";

/** Takes live edits of topologies back of which a part failed or was cancelled. */
export interface FailedEdits {
  /**
   * Looks at these operations: the edits among them that are due. Returns the ids of those that ended with it. Throws when one
   * could not be taken back, after all were tried.
   */
  takeBack(ids: readonly string[]): Promise<string[]>;
}

export interface FailedEditsOptions {
  readonly store: Pick<
    Store,
    | "transaction"
    | "topologies"
    | "topologyEdits"
    | "deckies"
    | "fleets"
    | "rotations"
    | "resolutions"
    | "operations"
    | "parents"
    | "events"
  >;
  readonly catalog: Catalog;
  readonly log: Logger;
  /** There is something to do about a decky. */
  readonly wake: (deckyId: string) => void;
}

export function createFailedEdits({ store, catalog, log, wake }: FailedEditsOptions): FailedEdits {
  /** Design, deckies and operation go back in one commit, under the locks that every change of a topology takes. */
  const takeBackOne = (id: string, topologyId: string) =>
    store.transaction(async (tx) => {
      const topology = await store.topologies.lock(tx, topologyId).catch(unlessForgotten);
      if (topology === undefined) return { ended: await store.parents.endIn(tx, [id]), waking: [] };
      await store.deckies.lockScope(tx, topologyId);
      const taken = await store.topologyEdits.take(tx, id);
      if (taken === undefined) return { ended: [], waking: [] };
      const present = await presentOf(tx, topology, store);
      const takenSubnets = await takenHere(tx, topologyId, store);
      const context = { catalog, takenSubnets, now: new Date(), makeId: makeOperationId };
      const { design, patch, ways } = resolveEdit({ topology, present, ...taken }, context);
      if (design !== undefined) {
        const { actor } = taken.edit.cancelledBy ?? taken.edit;
        await store.topologies.redesign(tx, topology, design, { id, actor }, true);
        await store.rotations.replace(tx, topologyId, rotationsOf(design));
      }
      await store.operations.update(tx, [id], patch);
      await store.resolutions.write(tx, ways);
      store.events.append(
        tx,
        ways.flatMap(({ events }) => events),
      );
      const ended = ways.length === 0 ? await store.parents.endIn(tx, [id]) : [];
      const why = patch.error?.message ?? "";
      tx.afterwards(() => log.info("an edit is taken back", { topology: topology.name, operation: id, why }));
      return { ended, waking: ways.map(({ decky }) => decky.id) };
    });

  return {
    async takeBack(ids) {
      const all: string[] = [];
      const errors: unknown[] = [];
      // The newest first: what builds on an earlier one is out of its way.
      for (const { id, topology } of await store.topologyEdits.due(ids)) {
        try {
          const { ended, waking } = await takeBackOne(id, topology);
          store.events.wake();
          for (const deckyId of waking) wake(deckyId);
          all.push(...ended);
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw new AggregateError(errors, "not every edit was taken back");
      return all;
    },
  };
}

/** Torn down and deleted meanwhile: there is no design any more. */
function unlessForgotten(error: unknown): undefined {
  if (error instanceof AppError && error.reason === "TOPOLOGY_NOT_FOUND") return undefined;
  throw error;
}
