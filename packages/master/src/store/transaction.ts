import type { EntityManager } from "typeorm";

/**
 * What a transaction's work may use; anything else would run outside it. Opaque outside this room: only the store knows what is
 * inside.
 */
export class Transaction {
  readonly #manager: EntityManager;
  readonly #afterwards: (() => void)[] = [];

  /** Alone: each statement is a transaction of its own. */
  readonly #isAlone: boolean;

  constructor(manager: EntityManager, isAlone = false) {
    this.#manager = manager;
    this.#isAlone = isAlone;
  }

  /** What is to be said only if all of it was stored. */
  afterwards(act: () => void): void {
    if (this.#isAlone) act();
    else this.#afterwards.push(act);
  }

  static committed(tx: Transaction): void {
    for (const act of tx.#afterwards) act();
  }

  static managerOf(tx: Transaction): EntityManager {
    return tx.#manager;
  }
}

export type Tx = Transaction;

/** The way from a transaction to TypeORM, for this room alone. */
export const managerOf = (tx: Tx): EntityManager => Transaction.managerOf(tx);
