import { isBehind, isUnapplied } from "../model/decky.ts";
import type { Whereabouts } from "../model/host.ts";
import type { Situation } from "./situation.ts";

/** What a decky needs next of this master. Pure: where each host is is given. */
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
 * first. What is to be done on a host that another master holds is that one's: this one is told when it is done.
 */
export function nextStep({ decky, open, movePolicy }: Situation, whereIs: (host: string) => Whereabouts): Next {
  const { pendingRemovals } = decky;
  const here = pendingRemovals.filter((host) => whereIs(host) === "here");
  const removals = decky.renderedRevision === 0 ? [] : here;
  // What its host has is not undone by itself.
  const isHeld = !isUnapplied(decky) || decky.repairPaused || (isBehind(decky) && !decky.leaving);
  if (open.length === 0 && isHeld) return { step: { kind: "idle" }, removals };
  const isFirst = movePolicy === "remove_first";
  const isCancelled = open.some((operation) => operation.cancelRequested && operation.error === null);
  const isRemovedFirst = open.length > 0 && !isCancelled && (isFirst || decky.leaving);
  if (whereIs(decky.host) === "elsewhere") return { step: { kind: "idle" }, removals: isRemovedFirst ? here : removals };
  const isAway = (host: string) => whereIs(host) === "away";
  const missing = isAway(decky.host) ? decky.host : isFirst ? pendingRemovals.find(isAway) : undefined;
  if (missing !== undefined) return { step: { kind: "blocked", host: missing }, removals };
  if (open.length === 0) return { step: { kind: "retry", at: decky.retryAt }, removals };
  if (isRemovedFirst && here.length > 0) return { step: { kind: "remove", hosts: here }, removals: [] };
  if (isRemovedFirst && pendingRemovals.some((host) => whereIs(host) === "elsewhere"))
    return { step: { kind: "idle" }, removals: [] };
  return { step: { kind: "apply" }, removals: [] };
}
