import type { DiagnosedDecky, DiagnosedService } from "./diagnose.ts";
import type { DiagnosisWord } from "./diagnosis.ts";
import { usesOf } from "./port-uses.ts";

export type ServiceState = DiagnosisWord;

export interface JudgedService {
  readonly slug: string;
  readonly state: ServiceState;
  /** One sentence about a state other than running. */
  readonly message: string;
  readonly containerName: string;
  readonly containerId: string;
  readonly startedAt: string;
  readonly restartCount: number;
  /** `22/tcp` */
  readonly listening: readonly string[];
  readonly openSessions: number;
}

export interface JudgedDecky {
  /** running: everything expected was seen. pending: nothing was seen. unknown: it could not be observed. */
  readonly state: "pending" | "running" | "degraded" | "detached" | "failed" | "unknown";
  readonly message: string;
  readonly baseId: string;
  readonly services: readonly JudgedService[];
  /** Packets that it sent and that were not let out, since its rules are as they are; undefined: not known, or none. */
  readonly denied?: number;
}

/** The state of a decky is the words of its diagnoses, in one; `more`: what is wrong around it on its host. Pure. */
export function judgeDecky(decky: DiagnosedDecky, more: readonly string[] = []): JudgedDecky {
  const { base, observed } = decky;
  const services = decky.services.map((service) => judgeService(service, observed));
  const common = { baseId: base.seen?.id ?? "", services };
  if (observed.containers.length === 0) return { state: "pending", message: "no container was seen", ...common };
  const { word, sentence } = base.diagnosis;
  if (word !== "running") return { state: baseStates[word] ?? "failed", message: `base: ${sentence}`, ...common };
  const troubles = [
    ...services.filter((service) => service.state !== "running").map(({ slug, message }) => `${slug}: ${message}`),
    ...decky.surplus.map(({ service, role, name }) => surplusSentence(role === "base" ? "base" : service, name, decky)),
    // Nothing that serves anybody runs in a base: it is said, and the services are not cut off for it.
    ...(base.seen?.exhaustion === undefined ? [] : [`base: ${base.seen.exhaustion.sentence}`]),
    ...more,
  ];
  if (troubles.length === 0) return { state: "running", message: "", ...common };
  const isDetached = services.some((service) => service.state === "detached");
  return { state: isDetached ? "detached" : "degraded", message: troubles.join("; "), ...common };
}

const baseStates: Partial<Record<DiagnosisWord, JudgedDecky["state"]>> = { outdated: "degraded", detached: "detached" };

function surplusSentence(what: string, name: string, { wanted }: DiagnosedDecky): string {
  const isWanted = what === "base" || wanted.services.some(({ service }) => service === what);
  return `${what}: ${isWanted ? `${name} is one too many` : "is no longer wanted"}`;
}

function judgeService({ wanted, seen, diagnosis }: DiagnosedService, { sockets }: DiagnosedDecky["observed"]): JudgedService {
  const numbers = new Set(wanted.ports.map((port) => port.number));
  return {
    slug: wanted.service,
    state: diagnosis.word,
    message: diagnosis.sentence,
    containerName: wanted.name,
    containerId: seen?.id ?? "",
    startedAt: seen?.startedAt ?? "",
    restartCount: seen?.restartCount ?? 0,
    listening: [...usesOf(wanted.ports, seen, sockets).own],
    openSessions: sockets.sessions.filter((session) => numbers.has(session.port)).length,
  };
}
