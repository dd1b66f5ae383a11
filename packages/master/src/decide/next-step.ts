import { isBehind, isUnapplied } from "../model/decky.ts";
import type { Situation } from "./situation.ts";

/** What a decky needs next. Pure: the hosts that can be reached are given. */
export type NextStep =
  /** Nothing is to be done now. */
  | { readonly kind: "idle" }
  /** Nothing goes on before this host is back: its connection wakes the decky. */
  | { readonly kind: "blocked"; readonly host: string }
  /** Nobody changes it, and what is wanted is not there: it is tried again, not before this time. Null: now. */
  | { readonly kind: "retry"; readonly at: Date | null }
  /** The decky is to be removed from hosts before anything else. */
  | { readonly kind: "remove"; readonly hosts: readonly string[] }
  | { readonly kind: "apply" };

export interface Next {
  readonly step: NextStep;
  /** Hosts that the decky can be removed from meanwhile: it runs at its new place, and nothing waits for that. */
  readonly removals: readonly string[];
}

/**
 * A decky that moved is removed from where it was before it is deployed, or once it runs at its new place, as the fleet's policy
 * wants; one that is torn down is removed everywhere first. A host that is away is left when it is back, unless it has to be left
 * first.
 */
export function nextStep({ decky, open, movePolicy }: Situation, isReachable: (host: string) => boolean): Next {
  const { pendingRemovals } = decky;
  const reachable = pendingRemovals.filter(isReachable);
  const removals = decky.renderedRevision === 0 ? [] : reachable;
  // What its host has is not undone by itself.
  const isHeld = !isUnapplied(decky) || decky.repairPaused || (isBehind(decky) && !decky.leaving);
  if (open.length === 0 && isHeld) return { step: { kind: "idle" }, removals };
  const isFirst = movePolicy === "remove_first";
  const missing = !isReachable(decky.host)
    ? decky.host
    : isFirst
      ? pendingRemovals.find((host) => !isReachable(host))
      : undefined;
  if (missing !== undefined) return { step: { kind: "blocked", host: missing }, removals };
  if (open.length === 0) return { step: { kind: "retry", at: decky.retryAt }, removals };
  const isCancelled = open.some((operation) => operation.cancelRequested && operation.error === null);
  if (!isCancelled && (isFirst || decky.leaving) && reachable.length > 0)
    return { step: { kind: "remove", hosts: reachable }, removals: [] };
  return { step: { kind: "apply" }, removals: [] };
}
