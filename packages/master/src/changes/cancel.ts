import { AppError } from "@decnet/common/errors/app-error";
import type { Board } from "../convergence/board.ts";
import type { Converger } from "../convergence/converger.ts";
import type { Parents } from "../convergence/parents.ts";
import { resolveCancel } from "../decide/resolve-cancel.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { hasEnded, type OperationRecord } from "../model/operation.ts";
import type { Store } from "../store/store.ts";

export interface CancelRequest {
  readonly id: string;
  readonly actor: string;
  readonly reason: string;
}

export interface Cancellations {
  /** Cancels an operation, or all parts of one about many deckies. Throws OPERATION_NOT_FOUND or OPERATION_ENDED. */
  cancel(request: CancelRequest): Promise<OperationRecord>;
}

export interface CancellationsOptions {
  readonly store: Store;
  readonly board: Board;
  readonly parents: Parents;
  readonly hosts: Pick<HostRegistry, "wantResync">;
  readonly converger: Pick<Converger, "interrupt" | "wake">;
}

export function createCancellations({ store, board, parents, hosts, converger }: CancellationsOptions): Cancellations {
  const cancelOne = async ({ id, ...request }: CancelRequest): Promise<void> => {
    const { row } = await store.operations.get(id);
    const { deckyId } = row;
    if (deckyId === null || hasEnded(row)) return;
    const committed = await store.resolver.resolve({
      decky: { id: deckyId },
      decide: (situation) => resolveCancel(situation, { operationId: id, ...request, now: new Date() }),
    });
    if (committed === undefined) return;
    converger.interrupt(deckyId, id);
    converger.wake(deckyId);
    board.ended(committed.ended.map((ended) => ({ id: ended.id, record: undefined })));
    board.progressed([id]);
    parents.note(committed.ended.map(({ parent }) => parent));
    // Nothing will run that says how the decky is: its host does.
    hosts.wantResync(row.host);
    store.events.wake();
  };

  return {
    async cancel(request) {
      const { row, children } = await store.operations.get(request.id);
      if (hasEnded(row))
        throw new AppError("OPERATION_ENDED", `the operation has ended: ${row.state}`, { metadata: { operation: request.id } });
      for (const id of row.deckyId === null ? children : [request.id]) await cancelOne({ ...request, id });
      await parents.idle();
      return store.operations.get(request.id);
    },
  };
}
