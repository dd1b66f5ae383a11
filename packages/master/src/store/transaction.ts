import type { EntityManager } from "typeorm";

/**
 * What a transaction's work may use; anything else would run outside it. Opaque outside this room: only the store knows what is
 * inside.
 */
export class Transaction {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  static managerOf(tx: Transaction): EntityManager {
    return tx.#manager;
  }
}

export type Tx = Transaction;

/** The way from a transaction to TypeORM, for this room alone. */
export const managerOf = (tx: Tx): EntityManager => Transaction.managerOf(tx);
