import type { Draft } from "../plan/plan.ts";
import type { DeckySpec } from "../spec.ts";
import { overlap } from "../tables/subnets.ts";

/**
 * The engine drops what comes into a LAN that is cut off from addresses of others, also when a decky on it has routed that there:
 * frames inside one bridge pass its rules, too. A rule of ours on the host admits what stays inside the bridge. Pure.
 */
export interface ObservedAdmissions {
  /** Why this host cannot admit anything; empty when it can. */
  readonly unable: string;
  /** Names of LANs that want it and do not have it. */
  readonly missing: readonly string[];
}

/** Those that are cut off and that something is routed into: all of a decky that forwards, else where a neighbour does. */
export function lansToAdmit({ attachments, forwards, routes = [] }: DeckySpec): string[] {
  return attachments
    .filter(({ lan }) => lan.internal === true && (forwards || routes.some(({ via }) => overlap(lan.subnet, via))))
    .map(({ lan }) => lan.name);
}

export function planAdmissions(seen: ObservedAdmissions | undefined): Draft[] {
  if (seen === undefined || seen.unable !== "") return [];
  const cause = "the engine drops what deckies route into this LAN";
  return seen.missing.map((lan) => ({ verb: "admit", target: lan, service: "", cause }));
}

export function admissionTroubles(seen: ObservedAdmissions | undefined): string[] {
  if (seen === undefined || seen.missing.length === 0) return [];
  return [`not routed: ${seen.unable || `the engine drops what deckies route into ${seen.missing.join(", ")}`}`];
}

/** Arguments of `iptables` after the chain. The comment says whose it is; a bridge is one network's and never comes back. */
export function admissionRule(instance: string, bridge: string): string[] {
  const match = ["-i", bridge, "-o", bridge, "-m", "physdev", "--physdev-is-bridged"];
  return [...match, "-m", "comment", "--comment", `decnet-${instance}`, "-j", "ACCEPT"];
}

/** Reads `iptables -S`: the bridges that this installation has such rules for. */
export function parseAdmissions(instance: string, listing: string): string[] {
  return listing.split("\n").flatMap((line) => {
    const [, bridge = "", comment = ""] = /-i (\S+) .*--physdev-is-bridged .*--comment "?([^" ]*)/.exec(line) ?? [];
    return bridge !== "" && comment === `decnet-${instance}` ? [bridge] : [];
  });
}
