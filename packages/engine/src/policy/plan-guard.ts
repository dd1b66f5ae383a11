import type { Draft } from "../plan/plan.ts";
import type { ObservedGuard } from "./guard.ts";

/** Undefined: this host was told not to contain its deckies, or nobody looked. */
type Seen = ObservedGuard | undefined;

/** Between the start of a base and the first service in it, and again whenever something of it is not as it was made. */
export function planGuard(base: string, seen: Seen, startsBase: boolean): Draft[] {
  if (seen === undefined) return [];
  const cause = startsBase ? "before anything in it can call out" : seen.unable === "" ? seen.flaw : "";
  return cause === "" ? [] : [{ verb: "guard", target: base, service: "", cause, guard: seen.wanted }];
}

/** A decky that could call whom it likes is not started. */
export function blockUnguarded(base: string, seen: Seen, startsBase: boolean): Draft[] {
  if (seen === undefined || seen.unable === "" || !startsBase) return [];
  return [{ verb: "blocked", target: base, service: "", cause: seen.unable }];
}

/** What people are told about a decky that runs all the same. */
export function guardTroubles(seen: Seen): string[] {
  const trouble = seen?.unable || seen?.flaw || "";
  return trouble === "" ? [] : [`not guarded: ${trouble}`];
}
