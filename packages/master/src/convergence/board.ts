import { hasEnded, type OperationRecord } from "../model/operation.ts";
import type { OperationStore, WaitedFor } from "../store/operations.ts";

/**
 * Where those who wait for operations meet those who end them. What is told here saves a look-up; the database has the last word.
 */
export interface Board {
  /** These operations ended. One that is complete here is handed over as it is. */
  ended(records: readonly EndedOperation[]): void;
  /** Something new is known of these operations. */
  progressed(ids: Iterable<string>): void;
  /**
   * Waits until the operation has ended, until `isEnough` says that waiting is of no use, or until the signal says that it is
   * over; returns how it stands then.
   */
  waitForEnd(
    record: OperationRecord,
    signal: AbortSignal,
    isEnough?: (row: WaitedFor) => boolean | Promise<boolean>,
  ): Promise<OperationRecord>;
  /** Resolves when the end of the operation is told here, or the signal says that waiting is over. Looks nothing up. */
  hearEnd(id: string, signal: AbortSignal): Promise<void>;
  /** The record now, and again whenever something may have changed. Ends after the record of the end. */
  watch(id: string, signal: AbortSignal): AsyncGenerator<OperationRecord>;
}

export interface EndedOperation {
  readonly id: string;
  /** Undefined: there is more to it than is known here. */
  readonly record: OperationRecord | undefined;
}

const pollMs = 1_000;
/** Ends that nobody waited for yet: the waiting may begin a moment later. */
const mostRemembered = 256;

type Listener = (record: OperationRecord | undefined) => void;

export function createBoard(operations: OperationStore): Board {
  /** For the end, and for every step: waiting for the end is not disturbed by each step. */
  const waiting = new Map<string, Set<Listener>>();
  const watching = new Map<string, Set<Listener>>();
  const remembered = new Map<string, OperationRecord>();

  const remember = (id: string, record: OperationRecord) => {
    remembered.set(id, record);
    if (remembered.size > mostRemembered) remembered.delete(remembered.keys().next().value as string);
  };

  return {
    ended(records) {
      for (const { id, record } of records) {
        if (record !== undefined) remember(id, record);
        tell(waiting, id, record);
        tell(watching, id, record);
      }
    },
    progressed(ids) {
      for (const id of ids) tell(watching, id, undefined);
    },
    async waitForEnd(record, signal, isEnough = () => false) {
      const { id } = record.row;
      let row: WaitedFor | undefined = record.row;
      while (row !== undefined && !hasEnded(row) && !signal.aborted) {
        // Listening comes first: what is told in the meantime is heard.
        const told = listen(waiting, id, signal, pollMs);
        if (await isEnough(row)) break;
        const handed = remembered.get(id) ?? (await told);
        if (handed !== undefined) return handed;
        row = await operations.waitedFor(id);
      }
      return remembered.get(id) ?? operations.get(id);
    },
    hearEnd: async (id, signal) => void (await listen(waiting, id, signal, undefined)),
    async *watch(id, signal) {
      while (!signal.aborted) {
        const told = listen(watching, id, signal, pollMs);
        const record = await operations.get(id);
        yield record;
        if (hasEnded(record.row)) return;
        await told;
      }
    },
  };
}

function tell(listeners: Map<string, Set<Listener>>, id: string, record: OperationRecord | undefined): void {
  for (const listener of listeners.get(id) ?? []) listener(record);
}

/** Resolves with what is told of an operation, or with nothing after a while, so that its caller looks again. */
function listen(
  listeners: Map<string, Set<Listener>>,
  id: string,
  signal: AbortSignal,
  afterMs: number | undefined,
): Promise<OperationRecord | undefined> {
  return new Promise((resolve) => {
    const mine = listeners.get(id) ?? new Set<Listener>();
    const done = (record: OperationRecord | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      mine.delete(done);
      if (mine.size === 0) listeners.delete(id);
      resolve(record);
    };
    const onAbort = () => done(undefined);
    const timer = afterMs === undefined ? undefined : setTimeout(onAbort, afterMs);
    signal.addEventListener("abort", onAbort, { once: true });
    listeners.set(id, mine.add(done));
    if (signal.aborted) onAbort();
  });
}
