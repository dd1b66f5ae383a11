import { applyResolution, type Resolution, situationAfter } from "../decide/resolution.ts";
import type { Situation } from "../decide/situation.ts";
import type { AuditEntry } from "../model/access.ts";
import type { Decky } from "../model/decky.ts";
import type { Operation, OperationStep } from "../model/operation.ts";
import type { Database, Tx } from "./database.ts";
import type { Lease } from "./leases.ts";
import type { Decision, Resolutions } from "./resolutions.ts";
import type { DeckyAddress, Situations } from "./situations.ts";

/** What goes into the commit of a decision besides the decision. */
export interface Additions {
  readonly steps?: readonly OperationStep[];
  readonly audit?: AuditEntry;
  /** For what is done for a host by the master that has it; asked with the decky as it is. */
  readonly lease?: (decky: Decky) => Lease;
}

export interface ResolveRequest extends Additions {
  readonly decky: DeckyAddress;
  /** Further revisions that the decision needs. */
  readonly revisions?: readonly number[];
  /** Pure: it is asked again when the decky changed meanwhile. Undefined: nothing is to be stored. */
  readonly decide: (situation: Situation) => Resolution | undefined;
  /** How the decky was last known; saves a read when it still is so. */
  readonly from?: Situation | undefined;
}

/** A decision that was stored. */
export interface Committed {
  readonly before: Situation;
  readonly resolution: Resolution;
  /** Undefined: the decky is gone. */
  readonly after: Situation | undefined;
  readonly ended: readonly Operation[];
}

export interface Resolver {
  /** Loads, decides, stores. Undefined when there is no such decky, or nothing was decided. Throws LeaseLost. */
  resolve(request: ResolveRequest): Promise<Committed | undefined>;
}

/**
 * First without a lock: the decision is stored if the decky is still what it was made from. When it is not, once more with the
 * row locked, where it cannot change.
 */
export function createResolver(database: Database, situations: Situations, resolutions: Resolutions): Resolver {
  const committed = (before: Situation, resolution: Resolution): Committed => ({
    before,
    resolution,
    after: situationAfter(before, resolution),
    ended: applyResolution(before, resolution).ended,
  });

  const resolveLocked = async (
    tx: Tx,
    { decky, revisions = [], decide, ...additions }: ResolveRequest,
  ): Promise<Committed | undefined> => {
    const [found] = await situations.lock(tx, [{ decky, revisions }]);
    const resolution = found?.situation === undefined ? undefined : decide(found.situation);
    if (found?.situation === undefined || resolution === undefined) return undefined;
    await resolutions.write(tx, [decision(found.situation, resolution, additions)]);
    return committed(found.situation, resolution);
  };

  return {
    async resolve(request) {
      const { decky, revisions = [], decide, from, ...additions } = request;
      const situation = from ?? (await situations.load({ decky, revisions })).situation;
      if (situation === undefined) return undefined;
      const resolution = decide(situation);
      if (resolution !== undefined && (await resolutions.commit(decision(situation, resolution, additions))))
        return committed(situation, resolution);
      // Nothing to do, by what was known before: only what is there now counts.
      if (resolution === undefined && from === undefined) return undefined;
      return database.transaction((tx) => resolveLocked(tx, request));
    },
  };
}

function decision({ decky }: Situation, resolution: Resolution, { lease, ...additions }: Additions): Decision {
  return { decky, resolution, ...additions, lease: lease?.(decky) };
}
