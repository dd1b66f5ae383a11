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

/** Those that are cut off and that something is routed into: all of a decky that forwards, else those with a neighbour who does. */
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

/** One rule of the engine's chain for rules of others. */
export interface Admission {
  readonly network: string;
  readonly bridge: string;
}

/** Says whose it is: of one network of one installation. */
function ownerOf(instance: string, network: string): string {
  return `decnet-${instance} ${network}`;
}

/** Arguments of `iptables` after the chain. */
export function admissionRule(instance: string, { network, bridge }: Admission): string[] {
  const match = ["-i", bridge, "-o", bridge, "-m", "physdev", "--physdev-is-bridged"];
  return [...match, "-m", "comment", "--comment", ownerOf(instance, network), "-j", "ACCEPT"];
}

/** Reads `iptables -S`. */
export function parseAdmissions(instance: string, listing: string): Admission[] {
  return listing.split("\n").flatMap((line): Admission[] => {
    const [, bridge = "", comment = ""] = /-i (\S+) .*--physdev-is-bridged .*--comment "([^"]*)"/.exec(line) ?? [];
    const network = comment.slice(ownerOf(instance, "").length);
    return bridge !== "" && comment === ownerOf(instance, network) && network !== "" ? [{ network, bridge }] : [];
  });
}
