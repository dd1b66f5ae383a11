import type { Decky, DeckyPatch, NewRevision } from "../model/decky.ts";
import type { BusEvent } from "../model/events.ts";
import { hasEnded, type Operation, type OperationPatch } from "../model/operation.ts";
import { patchOperation } from "../model/operation-phase.ts";
import type { Situation } from "./situation.ts";

export interface OperationChange {
  readonly operation: Operation;
  readonly patch: OperationPatch;
}

/** What becomes of one decky and its operations: the outcome of a decision as data. One writer commits it, or nothing of it. */
export interface Resolution {
  /** For people: why, in a few words. */
  readonly why: string;
  readonly decky: { readonly kind: "patch"; readonly patch: DeckyPatch } | { readonly kind: "gone" };
  readonly revision?: NewRevision;
  readonly operations: readonly OperationChange[];
  /** Operations that begin with it. */
  readonly opens: readonly Operation[];
  readonly events: readonly BusEvent[];
  /** There may be more to do at once. */
  readonly again: boolean;
}

export function resolution(why: string, more: Partial<Omit<Resolution, "why">> = {}): Resolution {
  return { why, decky: { kind: "patch", patch: {} }, operations: [], opens: [], events: [], again: false, ...more };
}

/**
 * Two decisions about one decky, the second made from what the first led to, as one. Neither of them makes a revision or ends the
 * decky.
 */
export function mergeResolutions(first: Resolution, second: Resolution): Resolution {
  const patchOf = ({ decky }: Resolution) => (decky.kind === "patch" ? decky.patch : {});
  return {
    ...second,
    decky: { kind: "patch", patch: { ...patchOf(first), ...patchOf(second) } },
    operations: [...first.operations, ...second.operations],
    opens: [...first.opens, ...second.opens],
    events: [...first.events, ...second.events],
    again: first.again || second.again,
  };
}

/** The decky and its operations after a resolution. `decky` is undefined once it is gone. */
export interface Resolved {
  readonly decky: Decky | undefined;
  readonly operations: readonly Operation[];
  /** Those of `operations` that have ended by it. */
  readonly ended: readonly Operation[];
}

export function applyResolution({ decky }: Pick<Situation, "decky">, { decky: change, ...rest }: Resolution): Resolved {
  const changed = rest.operations.map(({ operation, patch }) => patchOperation(operation, patch));
  const operations = [...changed, ...rest.opens];
  return {
    decky: change.kind === "gone" ? undefined : { ...decky, ...change.patch, version: decky.version + 1 },
    operations,
    ended: operations.filter(hasEnded),
  };
}

/** The situation that a resolution leads to; undefined when the decky is gone. What goes on from there need not load it. */
export function situationAfter(before: Situation, resolution: Resolution): Situation | undefined {
  const { decky, operations } = applyResolution(before, resolution);
  if (decky === undefined) return undefined;
  const changed = new Map(operations.map((operation) => [operation.id, operation]));
  const kept = before.open.map((operation) => changed.get(operation.id) ?? operation);
  const open = [...kept, ...resolution.opens].filter((operation) => !hasEnded(operation));
  const { revision } = resolution;
  const revisions =
    revision === undefined ? before.revisions : new Map([...before.revisions, [revision.number, revision.services] as const]);
  return { ...before, decky, open, revisions };
}
