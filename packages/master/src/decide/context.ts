import type { Catalog } from "@decnet/engine/catalog/types";

/** What decisions need besides the situation, so that they stay functions of their arguments. */
export interface DecisionContext {
  readonly catalog: Catalog;
  readonly now: Date;
  /** Names new operations. */
  readonly makeId: () => string;
  /** In [0, 1). */
  readonly random: () => number;
}
