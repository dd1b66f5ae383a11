import type { Draft } from "../plan/plan.ts";
import type { LanSpec } from "../spec.ts";
import type { ObservedContainment } from "./containment.ts";

/** Undefined: this host was told not to contain its deckies, or nobody looked. */
type Seen = ObservedContainment | undefined;

/** A base is not started where its decky could reach the ports of the host, and nothing can be done about that here. */
export function blockUncontained({ name }: LanSpec, seen: Seen, startsBase: boolean): Draft[] {
  if (seen === undefined || seen.unable === "" || !startsBase) return [];
  return [{ verb: "blocked", target: name, service: "", cause: seen.unable }];
}

/** Before anything starts on the LAN, and again whenever the rule is not as it was made. */
export function planContainment(lan: LanSpec, seen: Seen): Draft[] {
  if (seen === undefined || seen.unable !== "" || seen.flaw === "") return [];
  return [{ verb: "contain", target: lan.name, service: "", cause: seen.flaw, lan: lan.name }];
}

/** What people are told about a decky that runs all the same. */
export function containmentTroubles(containments: ReadonlyMap<string, Seen>): string[] {
  const troubles = [...containments.values()].flatMap((seen) => (seen === undefined ? [] : [seen.unable, seen.flaw]));
  return [...new Set(troubles.filter((each) => each !== ""))].map((each) => `not contained: ${each}`);
}
