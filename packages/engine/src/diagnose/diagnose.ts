import {
  baseOf,
  type ComposeHashes,
  type ObservedContainer,
  type ObservedDecky,
  type ObservedSockets,
} from "../observe/observed.ts";
import type { RenderedDecky, WantedContainer } from "../render/render-decky.ts";
import { crashSentence, isCrashing, isLasting } from "./crashes.ts";
import type { Diagnosis, DiagnosisOf, Unfit } from "./diagnosis.ts";
import { takenSentences, usesOf } from "./port-uses.ts";

/** What is a matter of policy. */
export interface Patience {
  /** A service that stays out of processes or memory for so long is restarted; 0: never. */
  readonly exhaustedMs: number;
}

export const defaultPatience: Patience = { exhaustedMs: 60_000 };

export interface Knowledge extends Partial<Patience> {
  /** Undefined: not known, and whatever is there counts as composed by us. */
  readonly composeHashes?: ComposeHashes | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface DiagnosedService {
  readonly wanted: WantedContainer;
  readonly seen: ObservedContainer | undefined;
  readonly diagnosis: Diagnosis;
}

/** One decky, each of its containers diagnosed once. */
export interface DiagnosedDecky {
  readonly wanted: RenderedDecky;
  readonly observed: ObservedDecky;
  readonly base: { readonly seen: ObservedContainer | undefined; readonly diagnosis: Diagnosis };
  readonly services: readonly DiagnosedService[];
  /** Services that are there and not wanted. */
  readonly surplus: readonly ObservedContainer[];
}

export function diagnoseDecky(wanted: RenderedDecky, observed: ObservedDecky, knowledge: Knowledge): DiagnosedDecky {
  const base = baseOf(observed);
  const common = { base, containers: observed.containers, sockets: observed.sockets, ...knowledge };
  const services = observed.containers.filter((container) => container.role === "service");
  return {
    wanted,
    observed,
    base: {
      seen: base,
      diagnosis: diagnose({ wanted: { ...wanted.base, ports: [], settleMs: 0 }, seen: base, ...common }),
    },
    services: wanted.services.map((service) => {
      const seen = services.find((container) => container.service === service.service);
      return { wanted: service, seen, diagnosis: diagnose({ wanted: service, seen, ...common }) };
    }),
    surplus: services.filter((container) => !wanted.services.some((service) => service.service === container.service)),
  };
}

interface Case extends Knowledge {
  readonly wanted: Pick<WantedContainer, "hash" | "ports" | "settleMs">;
  readonly seen: ObservedContainer | undefined;
  /** The decky's base as it is now; for the base itself, the same container. */
  readonly base: ObservedContainer | undefined;
  /** Containers of the decky. */
  readonly containers: readonly ObservedContainer[];
  readonly sockets: ObservedSockets;
}

/** Pure. `running` is said only of a container that runs as wanted, where it can be reached, with every port its own. */
export function diagnose(situation: Case): Diagnosis {
  const { wanted, seen, base, containers, sockets, composeHashes, now } = situation;
  const { taken, silent } = usesOf(wanted.ports, seen, sockets);
  if (seen === undefined) {
    const sentence = ["there is no container", ...takenSentences(taken, containers)].join("; ");
    return { word: "missing", sentence, unfit: undefined, taken };
  }
  const unfit = unfitness(wanted.hash, seen, base, composeHashes);
  const common = { unfit, taken };
  const { status, exitCode } = seen;
  if (status === "running" && isDetached(seen, base))
    return {
      word: "detached",
      sentence: unfit === "joined_old_base" ? unfitSentences[unfit] : "is cut off from the base's network",
      ...common,
    };
  if (taken.length > 0) {
    const life = isCrashing(seen, now) ? [crashSentence(seen)] : status === "running" ? [] : [stillness(status, exitCode)];
    return { word: "port_taken", sentence: [...takenSentences(taken, containers), ...life].join("; "), ...common };
  }
  if (status === "restarting" || isCrashing(seen, now))
    return { word: "restarting", sentence: crashSentence(seen), ...common, exitCode, isLasting: isLasting(seen) };
  if (status !== "running") return { word: "exited", sentence: stillness(status, exitCode), ...common, status, exitCode };
  if (unfit !== undefined) return { word: "outdated", sentence: unfitSentences[unfit], ...common, unfit };
  const silence = silent.length > 0 ? [`does not listen on ${silent.join(", ")}`] : [];
  const isSilentTooLong = silent.length > 0 && now - Date.parse(seen.startedAt) > wanted.settleMs;
  const { exhaustion } = seen;
  if (exhaustion !== undefined && seen.role === "service") {
    const { exhaustedMs = defaultPatience.exhaustedMs } = situation;
    const isOverdue = isSilentTooLong || (exhaustedMs > 0 && now - exhaustion.since > exhaustedMs);
    return { word: "exhausted", sentence: [exhaustion.sentence, ...silence].join("; "), ...common, isOverdue };
  }
  if (silent.length > 0)
    return { word: "not_listening", sentence: silence.join(), ...common, ports: silent, isOverdue: isSilentTooLong };
  return { word: "running", sentence: "", ...common };
}

function unfitness(
  hash: string,
  seen: ObservedContainer,
  base: ObservedContainer | undefined,
  composeHashes: ComposeHashes | undefined,
): Unfit | undefined {
  if (seen.hash !== hash) return "other_settings";
  if (isComposedByOthers(seen, composeHashes)) return "composed_by_others";
  return seen.role === "service" && (base === undefined || seen.joined !== base.id) ? "joined_old_base" : undefined;
}

const unfitSentences: Readonly<Record<Unfit, string>> = {
  other_settings: "runs with other settings than wanted",
  composed_by_others: "was made by somebody else from other settings",
  joined_old_base: "joined a base that is gone",
};

/** Made by somebody else: under the same label, and from other settings than ours was. */
function isComposedByOthers(container: ObservedContainer, composeHashes: ComposeHashes | undefined): boolean {
  const known = composeHashes?.[container.name];
  return known !== undefined && container.composeHash !== undefined && container.composeHash !== known;
}

/** A joiner whose namespace is not the one of the present base: it runs, and nobody can reach it. */
function isDetached(seen: ObservedContainer, base: ObservedContainer | undefined): boolean {
  if (seen.role === "base") return false;
  return base === undefined || seen.joined !== base.id || base.netns === undefined || seen.netns !== base.netns;
}

type Still = DiagnosisOf<"exited">["status"];

function stillness(status: Still | "restarting", exitCode: number): string {
  if (status === "restarting") return `exited with code ${exitCode} and is being restarted`;
  return status === "exited" ? `exited with code ${exitCode}` : stillSentences[status];
}

const stillSentences: Readonly<Record<Exclude<Still, "exited">, string>> = {
  created: "was never started",
  paused: "is paused",
  removing: "is being removed",
  dead: "is dead",
};
