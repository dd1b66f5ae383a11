import type { Logger } from "@decnet/common/logging/logger";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Store } from "../store/store.ts";
import { type AttemptsOptions, createAttempts } from "./attempts.ts";
import { type Board, createBoard } from "./board.ts";
import { type Converger, createConverger } from "./converger.ts";
import { createFailedEdits } from "./failed-edits.ts";
import { createImagePreparation, type ImagePreparation } from "./image-preparation.ts";
import { createLanes } from "./lanes.ts";
import { createParents, type Parents } from "./parents.ts";
import { createRemovals } from "./removals.ts";

export interface Convergence {
  readonly board: Board;
  readonly parents: Parents;
  readonly converger: Converger;
  readonly images: ImagePreparation;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

export interface ConvergenceOptions extends Pick<AttemptsOptions, "onApplied"> {
  readonly store: Store;
  readonly hosts: HostRegistry;
  readonly catalog: Catalog;
  readonly log: Logger;
  /** Deckies of one host that change side by side. */
  readonly parallel: number;
  readonly stopping: AbortSignal;
}

/** Puts the parts together that apply what is wanted. */
export function createConvergence({ parallel, ...options }: ConvergenceOptions): Convergence {
  const { store, log, stopping } = options;
  const board = createBoard(store.operations);
  const edits = createFailedEdits({ ...options, wake: (deckyId) => converger.wake(deckyId) });
  const parents = createParents(store.parents, edits, board, log, stopping);
  const lanes = createLanes(parallel);
  const removals = createRemovals({ ...options, lanes });
  const attempts = createAttempts({ ...options, board, parents });
  const converger: Converger = createConverger({ ...options, lanes, parallel, attempts, removals });
  const images = createImagePreparation({ ...options, board });
  return {
    board,
    parents,
    converger,
    images,
    async idle() {
      await converger.idle();
      await parents.idle();
      await images.idle();
    },
  };
}
