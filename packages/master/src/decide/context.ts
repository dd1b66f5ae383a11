import type { Catalogue } from "@decnet/engine/catalogue/types";

/** What decisions need besides the situation, so that they stay functions of their arguments. */
export interface DecisionContext {
  readonly catalogue: Catalogue;
  readonly now: Date;
  /** In [0, 1). */
  readonly random: () => number;
}
