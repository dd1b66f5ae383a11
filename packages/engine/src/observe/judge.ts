import type { RenderedDecky, WantedContainer } from "../render/render-decky.ts";
import { baseOf, isDetached, isForeignMade, type MadeFrom, type ObservedContainer, type ObservedDecky } from "./observed.ts";

export type ServiceState = "running" | "not_listening" | "exited" | "restarting" | "missing" | "detached" | "outdated";

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
  /** running: everything expected was seen. pending: nothing was seen. */
  readonly state: "pending" | "running" | "degraded" | "detached" | "failed";
  readonly message: string;
  readonly baseId: string;
  readonly services: readonly JudgedService[];
}

/** Says what an observation means. Pure; `running` is said only when every container runs as wanted and every port listens. */
export function judgeDecky(wanted: RenderedDecky, observed: ObservedDecky, made?: MadeFrom): JudgedDecky {
  const base = baseOf(observed);
  const services = wanted.services.map((service) => judgeService(service, observed, base, made));
  const common = { baseId: base?.id ?? "", services };
  if (observed.containers.length === 0) return { state: "pending", message: "no container was seen", ...common };
  if (base === undefined) return { state: "failed", message: "the base container is absent", ...common };
  if (base.status !== "running") return { state: "failed", message: `the base container is ${base.status}`, ...common };
  if (base.hash !== wanted.base.hash)
    return { state: "degraded", message: "the base has another identity than wanted", ...common };
  if (isForeignMade(base, made)) return { state: "degraded", message: "the base was made by somebody else", ...common };
  const troubles = services.filter((service) => service.state !== "running");
  const message = troubles.map((service) => `${service.slug}: ${service.message}`).join("; ");
  if (troubles.length === 0) return { state: "running", message: "", ...common };
  return { state: troubles.some((service) => service.state === "detached") ? "detached" : "degraded", message, ...common };
}

function judgeService(
  service: WantedContainer,
  observed: ObservedDecky,
  base: ObservedContainer | undefined,
  made: MadeFrom | undefined,
): JudgedService {
  const seen = observed.containers.find((container) => container.role === "service" && container.slug === service.slug);
  const ports = service.ports.map((port) => `${port.number}/${port.protocol}`);
  const listening = ports.filter((port) => observed.sockets.listening.has(port));
  const numbers = new Set(service.ports.map((port) => port.number));
  const verdict = verdictOf(service, seen, base, ports, listening, made);
  return {
    slug: service.slug,
    ...verdict,
    containerName: service.name,
    containerId: seen?.id ?? "",
    startedAt: seen?.startedAt ?? "",
    restartCount: seen?.restartCount ?? 0,
    listening: seen?.status === "running" ? listening : [],
    openSessions: observed.sockets.sessions.filter((session) => numbers.has(session.port)).length,
  };
}

function verdictOf(
  service: WantedContainer,
  seen: ObservedContainer | undefined,
  base: ObservedContainer | undefined,
  ports: readonly string[],
  listening: readonly string[],
  made: MadeFrom | undefined,
): { state: ServiceState; message: string } {
  if (seen === undefined) return { state: "missing", message: "there is no container" };
  if (seen.status === "restarting")
    return { state: "restarting", message: `exited with code ${seen.exitCode} and is being restarted` };
  if (seen.status !== "running") return { state: "exited", message: `is ${seen.status}, code ${seen.exitCode}` };
  if (isDetached(seen, base)) return { state: "detached", message: "joined a base that is gone" };
  if (seen.hash !== service.hash) return { state: "outdated", message: "runs with other settings than wanted" };
  if (isForeignMade(seen, made)) return { state: "outdated", message: "was made by somebody else from other settings" };
  const silent = ports.filter((port) => !listening.includes(port));
  if (silent.length > 0) return { state: "not_listening", message: `does not listen on ${silent.join(", ")}` };
  return { state: "running", message: "" };
}
