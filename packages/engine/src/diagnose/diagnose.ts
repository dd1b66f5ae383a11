import {
  baseOf,
  containerCalled,
  type ObservedContainer,
  type ObservedDecky,
  type ObservedNetwork,
  type ObservedSockets,
} from "../observe/observed.ts";
import type { MadeContainers } from "../observe/traits.ts";
import type { RenderedDecky, WantedContainer } from "../render/render-decky.ts";
import { alteration, attachmentFlaw, mendsOf } from "./compare.ts";
import { crashSentence, isCrashing, isLasting } from "./crashes.ts";
import type { Diagnosis, DiagnosisOf, Unfit } from "./diagnosis.ts";
import { type DiskPolicy, defaultDiskPolicy, fullDisk } from "./disk.ts";
import { takenSentences, usesOf } from "./port-uses.ts";

/** What is a matter of policy. */
export interface Patience extends DiskPolicy {
  /** A service that stays out of processes or memory for so long is restarted; 0: never. */
  readonly exhaustedMs: number;
}

export const defaultPatience: Patience = { exhaustedMs: 60_000, ...defaultDiskPolicy };

export interface Knowledge extends Partial<Patience> {
  /** What each container was when it was made here, by name. One that is not in it counts as it is. */
  readonly made: MadeContainers;
  /** Networks of the engine by name; undefined: not known. */
  readonly networks?: ReadonlyMap<string, ObservedNetwork> | undefined;
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
  const { containers, sockets } = observed;
  const offLan = base === undefined ? undefined : attachmentFlaw(base, wanted, knowledge.networks, observed.interfaces);
  const common = { base, offLan, lans: wanted.base.places.map(({ network }) => network), containers, sockets, ...knowledge };
  const found = wanted.services.map((service) => {
    const same = containers.filter((container) => container.role === "service" && container.service === service.service);
    return { service, seen: containerCalled(service.name, same) };
  });
  const expected = new Set([base, ...found.map(({ seen }) => seen)]);
  return {
    wanted,
    observed,
    base: { seen: base, diagnosis: diagnose({ wanted: { ...wanted.base, ports: [], settleMs: 0 }, seen: base, ...common }) },
    services: found.map(({ service, seen }) => ({
      wanted: service,
      seen,
      diagnosis: diagnose({ wanted: service, seen, ...common }),
    })),
    surplus: containers.filter((container) => !expected.has(container)),
  };
}

interface Case extends Knowledge {
  readonly wanted: Pick<WantedContainer, "name" | "hash" | "ports" | "settleMs" | "diskBytes">;
  readonly seen: ObservedContainer | undefined;
  /** The decky's base as it is now; for the base itself, the same container. */
  readonly base: ObservedContainer | undefined;
  /** What is wrong with the base's place on the LAN. */
  readonly offLan: string | undefined;
  /** Networks that the base is to be on. */
  readonly lans: readonly string[];
  /** Containers of the decky. */
  readonly containers: readonly ObservedContainer[];
  readonly sockets: ObservedSockets;
}

/** Pure. `running` is said only of a container that runs as wanted, where it can be reached, with every port its own. */
export function diagnose(situation: Case): Diagnosis {
  const { wanted, seen, base, offLan, lans, containers, sockets, now } = situation;
  const { taken, silent } = usesOf(wanted.ports, seen, sockets);
  if (seen === undefined) {
    const sentence = ["there is no container", ...takenSentences(taken, containers)].join("; ");
    return { word: "missing", sentence, unfit: undefined, mends: [], taken };
  }
  const unfit = unfitness(seen, situation);
  const mends = mendsOf(seen, wanted.name, lans);
  const common = { unfit, mends, taken };
  const { status, exitCode } = seen;
  const filled = fullDisk(seen, wanted, situation);
  if (filled !== undefined && (status === "running" || filled.remedy === "none"))
    return { word: "exhausted", sentence: filled.sentence, ...common, remedy: filled.remedy };
  if (status === "running" && (unfit?.why === "joined_old_base" || unfit?.why === "off_lan"))
    return { word: "detached", sentence: unfit.sentence, ...common };
  if (status === "running" && isDetached(seen, base))
    return { word: "detached", sentence: "is cut off from the base's network", ...common };
  if (taken.length > 0) {
    const life = isCrashing(seen, now) ? [crashSentence(seen)] : status === "running" ? [] : [stillness(status, exitCode)];
    return { word: "port_taken", sentence: [...life, ...takenSentences(taken, containers)].join("; "), ...common };
  }
  if (status === "restarting" || isCrashing(seen, now))
    return { word: "restarting", sentence: crashSentence(seen), ...common, exitCode, isLasting: isLasting(seen, now) };
  if (status !== "running") return { word: "exited", sentence: stillness(status, exitCode), ...common, status, exitCode };
  if (unfit !== undefined) return { word: "outdated", sentence: unfit.sentence, ...common };
  if (offLan !== undefined) return { word: "detached", sentence: `cannot be reached: the base ${offLan}`, ...common };
  const silence = silent.length > 0 ? [`does not listen on ${silent.join(", ")}`] : [];
  const isSilentTooLong = silent.length > 0 && now - Date.parse(seen.startedAt) > wanted.settleMs;
  const { exhaustion } = seen;
  if (exhaustion !== undefined && seen.role === "service") {
    const { exhaustedMs = defaultPatience.exhaustedMs } = situation;
    const isOverdue = isSilentTooLong || (exhaustedMs > 0 && now - exhaustion.since > exhaustedMs);
    const sentence = [exhaustion.sentence, ...silence].join("; ");
    return { word: "exhausted", sentence, ...common, remedy: isOverdue ? "restart" : "wait" };
  }
  if (silent.length > 0)
    return { word: "not_listening", sentence: silence.join(), ...common, ports: silent, isOverdue: isSilentTooLong };
  if (mends.length > 0) return { word: "outdated", sentence: mends.map(({ sentence }) => sentence).join(", "), ...common };
  return { word: "running", sentence: "", ...common };
}

function unfitness(seen: ObservedContainer, { wanted, base, offLan, made }: Case): Unfit | undefined {
  if (seen.hash !== wanted.hash) return { why: "other_settings", sentence: "runs with other settings than wanted" };
  const altered = alteration(made[wanted.name], seen.traits);
  if (altered !== undefined) return { why: "altered", sentence: altered };
  if (seen.role === "base") return offLan === undefined ? undefined : { why: "off_lan", sentence: offLan };
  if (base !== undefined && seen.joined === base.id) return undefined;
  return { why: "joined_old_base", sentence: "joined a base that is gone" };
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
