import { AppError } from "@decnet/common/errors/app-error";
import type { EntityManager } from "typeorm";

/** Ends the statement that a connection of ours is in the middle of. */
export type CancelBackend = (pid: number) => Promise<unknown>;

export const cancelBackend = { name: "decnet-cancel", text: "SELECT pg_cancel_backend($1)" };

/**
 * Does the work of a transaction until the signal ends it: then the statement that runs is cancelled, no other one is begun, and
 * the signal's reason is thrown. Resolves only when the cancel is over: it meets no later work on the same connection.
 */
export async function endWith<T>(
  signal: AbortSignal,
  { queryRunner }: EntityManager,
  cancel: CancelBackend,
  work: () => Promise<T>,
): Promise<T> {
  const client: unknown = await queryRunner?.connect();
  const pid: unknown = typeof client === "object" && client !== null ? Reflect.get(client, "processID") : undefined;
  let cancelling: Promise<unknown> = Promise.resolve();
  const onAbort = () => {
    // A connection that is gone has nothing to cancel.
    if (typeof pid === "number") cancelling = cancel(pid).catch(() => undefined);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await work();
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    await cancelling;
  }
}

/** Does work whose signal is also aborted when it takes too long. */
export async function withinTime<T>(ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const ending = new AbortController();
  const onAbort = () => ending.abort(signal.reason);
  const late = () => ending.abort(new AppError("STORAGE_UNAVAILABLE", "the database is too busy", { retryAfterMs: 1_000 }));
  const timer = setTimeout(late, ms);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await work(ending.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
