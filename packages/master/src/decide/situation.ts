import type { Decky, MovePolicy, StoredService } from "../model/decky.ts";
import type { Operation } from "../model/operation.ts";

/** All that a decision about one decky is made from, as it was at one moment. */
export interface Situation {
  readonly decky: Decky;
  /** Operations that have not ended, oldest first. */
  readonly open: readonly Operation[];
  /**
   * Services of the revisions that a decision may need: desired, applied, and those of the open operations with the ones before.
   */
  readonly revisions: ReadonlyMap<number, readonly StoredService[]>;
  /** For each open operation, the number of the newest attempt that has steps. */
  readonly attempts: ReadonlyMap<string, number>;
  readonly movePolicy: MovePolicy;
}

/** Services of a revision; none of revision 0. Throws for one that was not loaded: that would be a defect. */
export function servicesAt({ decky, revisions }: Situation, revision: number): readonly StoredService[] {
  if (revision === 0) return [];
  const services = revisions.get(revision);
  if (services === undefined) throw new Error(`revision ${revision} of ${decky.name} was not loaded`);
  return services;
}

export function desiredServices(situation: Situation): readonly StoredService[] {
  return servicesAt(situation, situation.decky.desiredRevision);
}

/** Services of the last revision that was seen running; what an undo goes back to. */
export function goodServices(situation: Situation): readonly StoredService[] {
  return servicesAt(situation, situation.decky.appliedRevision);
}
