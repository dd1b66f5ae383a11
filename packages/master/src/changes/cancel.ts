import { AppError } from "@decnet/common/errors/app-error";
import type { Board } from "../convergence/board.ts";
import type { Converger } from "../convergence/converger.ts";
import type { Parents } from "../convergence/parents.ts";
import { resolveCancel } from "../decide/resolve-cancel.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { AuditTicket } from "../model/access.ts";
import { hasEnded, makeOperationId, type Operation, type OperationRecord } from "../model/operation.ts";
import type { Store } from "../store/store.ts";

export interface CancelRequest {
  readonly id: string;
  readonly actor: string;
  readonly reason: string;
  /** Empty: a call that is not repeated. */
  readonly requestId: string;
  readonly audit?: AuditTicket | undefined;
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
  const cancelOne = async (id: string, { id: whole, audit, ...request }: CancelRequest): Promise<void> => {
    const { row } = await store.operations.get(id);
    const { deckyId } = row;
    if (deckyId === null || hasEnded(row)) return;
    const committed = await store.resolver.resolve({
      decky: { id: deckyId },
      decide: (situation) => resolveCancel(situation, { operationId: id, ...request, now: new Date(), makeId: makeOperationId }),
      ...(audit === undefined || audit.isStored ? {} : { audit: audit.entryFor(whole) }),
    });
    if (committed === undefined) return;
    if (audit !== undefined) audit.isStored = true;
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
      if (isRepeated(row, request)) return store.operations.get(request.id);
      if (hasEnded(row))
        throw new AppError("OPERATION_ENDED", `the operation has ended: ${row.state}`, { metadata: { operation: request.id } });
      if (row.deckyId === null) await noteCancel(store, row, request);
      // What takes an edit back goes on.
      const parts = row.kind === "edit_topology" && row.error !== null ? [] : children;
      for (const id of row.deckyId === null ? parts : [request.id]) await cancelOne(id, request);
      await parents.idle();
      return store.operations.get(request.id);
    },
  };
}

function isRepeated({ cancelledBy }: Operation, { actor, requestId }: CancelRequest): boolean {
  return requestId !== "" && cancelledBy?.requestId === requestId && cancelledBy.actor === actor;
}

/** An operation about many deckies ends with its parts: that it was cancelled, and by whom, is its own. */
async function noteCancel(store: Store, row: Operation, { id, actor, reason, requestId }: CancelRequest): Promise<void> {
  const cancelledBy = row.cancelledBy ?? { actor, reason, requestId };
  await store.transaction((tx) => store.operations.update(tx, [id], { cancelRequested: true, cancelledBy }));
}
