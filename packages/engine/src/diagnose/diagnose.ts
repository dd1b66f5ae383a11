import {
  baseOf,
  type ComposeHashes,
  type ObservedContainer,
  type ObservedDecky,
  type ObservedSockets,
} from "../observe/observed.ts";
import type { RenderedDecky, WantedContainer } from "../render/render-decky.ts";
import type { Diagnosis, DiagnosisOf, Unfit } from "./diagnosis.ts";

export interface Knowledge {
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
  const { sockets } = observed;
  const services = observed.containers.filter((container) => container.role === "service");
  return {
    wanted,
    observed,
    base: {
      seen: base,
      diagnosis: diagnose({ wanted: { ...wanted.base, ports: [], settleMs: 0 }, seen: base, base, sockets, ...knowledge }),
    },
    services: wanted.services.map((service) => {
      const seen = services.find((container) => container.service === service.service);
      return { wanted: service, seen, diagnosis: diagnose({ wanted: service, seen, base, sockets, ...knowledge }) };
    }),
    surplus: services.filter((container) => !wanted.services.some((service) => service.service === container.service)),
  };
}

interface Case extends Knowledge {
  readonly wanted: Pick<WantedContainer, "hash" | "ports" | "settleMs">;
  readonly seen: ObservedContainer | undefined;
  /** The decky's base as it is now; for the base itself, the same container. */
  readonly base: ObservedContainer | undefined;
  readonly sockets: ObservedSockets;
}

/** Pure. `running` is said only of a container that runs as wanted, where it can be reached, with every port listening. */
export function diagnose({ wanted, seen, base, sockets, composeHashes, now }: Case): Diagnosis {
  if (seen === undefined) return { word: "missing", sentence: "there is no container", unfit: undefined };
  const unfit = unfitness(wanted.hash, seen, base, composeHashes);
  const { status, exitCode } = seen;
  if (status === "restarting")
    return { word: "restarting", sentence: `exited with code ${exitCode} and is being restarted`, unfit, exitCode };
  if (status !== "running") return { word: "exited", sentence: stillness(status, exitCode), unfit, status, exitCode };
  if (isDetached(seen, base))
    return {
      word: "detached",
      sentence: unfit === "joined_old_base" ? unfitSentences[unfit] : "is cut off from the base's network",
      unfit,
    };
  if (unfit !== undefined) return { word: "outdated", sentence: unfitSentences[unfit], unfit };
  const ports = silentPorts(wanted, sockets);
  if (ports.length > 0) {
    const isOverdue = now - Date.parse(seen.startedAt) > wanted.settleMs;
    return { word: "not_listening", sentence: `does not listen on ${ports.join(", ")}`, unfit, ports, isOverdue };
  }
  return { word: "running", sentence: "", unfit };
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

function stillness(status: Still, exitCode: number): string {
  return status === "exited" ? `exited with code ${exitCode}` : stillSentences[status];
}

const stillSentences: Readonly<Record<Exclude<Still, "exited">, string>> = {
  created: "was never started",
  paused: "is paused",
  removing: "is being removed",
  dead: "is dead",
};

function silentPorts(wanted: Pick<WantedContainer, "ports">, sockets: ObservedSockets): string[] {
  return wanted.ports.map((port) => `${port.number}/${port.protocol}`).filter((port) => !sockets.listening.has(port));
}
