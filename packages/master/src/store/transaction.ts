import type { EntityManager } from "typeorm";

/**
 * What a transaction's work may use; anything else would run outside it. Opaque outside this room: only the store knows what is
 * inside.
 */
export class Transaction {
  readonly #manager: EntityManager;
  readonly #afterwards: (() => void)[] = [];
  readonly #atLast: (() => Promise<void>)[] = [];

  /** Alone: each statement is a transaction of its own. */
  readonly #isAlone: boolean;
  readonly #signal: AbortSignal | undefined;

  constructor(manager: EntityManager, options: { readonly isAlone?: boolean; readonly signal?: AbortSignal | undefined } = {}) {
    this.#manager = manager;
    this.#isAlone = options.isAlone ?? false;
    this.#signal = options.signal;
  }

  /** What is to be said only if all of it was stored. */
  afterwards(act: () => void): void {
    if (this.#isAlone) act();
    else this.#afterwards.push(act);
  }

  /** Done in this transaction after everything else, whoever asks for it when. */
  atLast(act: () => Promise<void>): void {
    if (this.#isAlone) throw new Error("this is no transaction");
    this.#atLast.push(act);
  }

  static async finish(tx: Transaction): Promise<void> {
    for (const act of tx.#atLast.splice(0)) await act();
  }

  static committed(tx: Transaction): void {
    for (const act of tx.#afterwards) act();
  }

  /** Throws when nobody waits for the transaction any more: not one more statement of it is begun. */
  static managerOf(tx: Transaction): EntityManager {
    tx.#signal?.throwIfAborted();
    return tx.#manager;
  }
}

export type Tx = Transaction;

/** The way from a transaction to TypeORM, for this room alone. */
export const managerOf = (tx: Tx): EntityManager => Transaction.managerOf(tx);
