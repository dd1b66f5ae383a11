import { setTimeout as delay } from "node:timers/promises";
import { type PortUses, takenSentences, usesOf } from "../diagnose/port-uses.ts";
import type { EngineApi } from "../docker/engine-api.ts";
import { noSockets, type ObservedContainer } from "../observe/observed.ts";
import { createHolderSearch } from "../observe/port-holders.ts";
import { createSocketCache } from "../observe/socket-cache.ts";
import type { WantedContainer } from "../render/render-decky.ts";

/** A service without ports has settled when it stayed up this long. */
const quietMs = 500;
const pollMs = 15;
const inspectEveryMs = 120;
/** Somebody who is still there after this long does not go away. */
const takenMs = 400;

export type Settled = { readonly ok: true } | { readonly ok: false; readonly message: string };

/**
 * Waits until a service does what the catalog declares: it listens itself on every port in the decky's namespace, as read from
 * the host without a packet. Ends early when the container exits or restarts, or when somebody else has one of its ports.
 */
export async function settle(api: EngineApi, service: WantedContainer, signal: AbortSignal): Promise<Settled> {
  const first = await api.inspect(service.name);
  if (first === undefined) return failed(`${service.name} is gone`);
  const observePorts = await portsObserver(api, service, first);
  const startedAt = performance.now();
  let inspectedAt = startedAt;
  let takenAt: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const ports = await observePorts();
    const elapsed = performance.now() - startedAt;
    takenAt = ports.taken.length === 0 ? undefined : (takenAt ?? elapsed);
    const isFree = ports.silent.length === 0 && ports.taken.length === 0;
    const done = service.ports.length > 0 ? isFree : elapsed >= quietMs;
    if (done || performance.now() - inspectedAt >= inspectEveryMs) {
      inspectedAt = performance.now();
      const end = endOf(service.name, first, await api.inspect(service.name), elapsed);
      if (end !== undefined) return failed([end, ...(await holdersOf(api, first, await observePorts()))].join("; "));
      if (done) return { ok: true };
    }
    if (takenAt !== undefined && elapsed - takenAt > takenMs) return failed((await holdersOf(api, first, ports)).join("; "));
    if (elapsed > service.settleMs)
      return failed(`${service.name} runs but does not listen on ${ports.silent.join(", ")} after ${seconds(elapsed)}`);
    await delay(pollMs, undefined, { signal });
  }
}

/** Looks from the base: it is there also while the service is not. */
async function portsObserver(
  api: EngineApi,
  { ports }: WantedContainer,
  first: ObservedContainer,
): Promise<() => Promise<PortUses>> {
  const base = first.joined === undefined ? undefined : await api.inspect(first.joined);
  const cache = createSocketCache(new Set(ports.map(({ number, protocol }) => `${number}/${protocol}`)));
  const search = createHolderSearch();
  const place = { pid: base?.pid ?? first.pid, containers: [{ id: first.id, pid: first.pid }] };
  return async () => {
    const seen = place.pid === 0 ? undefined : await cache.observe(place, inspectEveryMs, search);
    return usesOf(ports, first, seen ?? noSockets);
  };
}

/** Why it will not settle any more; undefined while it runs as it did at first. */
function endOf(name: string, first: ObservedContainer, now: ObservedContainer | undefined, elapsed: number): string | undefined {
  if (now === undefined) return `${name} is gone`;
  if (now.status === "exited" || now.status === "dead")
    return `${name} exited with code ${now.exitCode} after ${seconds(elapsed)}`;
  if (now.status === "restarting" || now.restartCount > first.restartCount || now.startedAt !== first.startedAt)
    return restartSentence(now, seconds(elapsed));
  return undefined;
}

/** Sentences about who has the ports. */
async function holdersOf(api: EngineApi, { joined }: ObservedContainer, { taken }: PortUses): Promise<string[]> {
  const ids = [...new Set(taken.map(({ holder }) => holder?.container ?? ""))].filter((id) => id !== "");
  const found = await Promise.all(ids.map((id) => api.inspect(id)));
  const isOfDecky = (each: ObservedContainer) => each.id === joined || each.joined === joined;
  const ours = found
    .filter((each) => each !== undefined)
    .filter((each) => isOfDecky(each) && (each.role === "base" || each.service !== ""));
  return takenSentences(taken, ours);
}

function failed(message: string): Settled {
  return { ok: false, message };
}

/** The engine forgets the code of the last end when it starts a container again: it may not have been seen. */
function restartSentence({ name, status, exitCode, lastExitCode }: ObservedContainer, after: string): string {
  const code = status === "restarting" ? exitCode : lastExitCode;
  if (code === undefined) return `${name} ended and was restarted after ${after}; its exit code was not seen`;
  return `${name} exited with code ${code} and was restarted after ${after}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
