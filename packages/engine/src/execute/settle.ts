import { setTimeout as delay } from "node:timers/promises";
import type { EngineApi } from "../docker/engine-api.ts";
import type { ObservedContainer } from "../observe/observed.ts";
import { createSocketCache } from "../observe/socket-cache.ts";
import type { WantedContainer } from "../render/render-decky.ts";

/** A service without ports has settled when it stayed up this long. */
const quietMs = 500;
const pollMs = 15;
const inspectEveryMs = 120;

export type Settled = { readonly ok: true } | { readonly ok: false; readonly message: string };

/**
 * Waits until a service does what the catalog declares: every port listens in the decky's namespace, as read from the host
 * without a packet. Ends early when the container exits or restarts.
 */
export async function settle(api: EngineApi, service: WantedContainer, signal: AbortSignal): Promise<Settled> {
  const first = await api.inspect(service.name);
  if (first === undefined) return failed(`${service.name} is gone`);
  const wanted = service.ports.map((port) => `${port.number}/${port.protocol}`);
  const sockets = createSocketCache();
  const startedAt = performance.now();
  let inspectedAt = startedAt;
  for (;;) {
    signal.throwIfAborted();
    const elapsed = performance.now() - startedAt;
    const listening = first.pid === 0 ? new Set<string>() : (await sockets.observe(first.pid, inspectEveryMs)).listening;
    const silent = wanted.filter((port) => !listening.has(port));
    const done = wanted.length > 0 ? silent.length === 0 : elapsed >= quietMs;
    if (done || performance.now() - inspectedAt >= inspectEveryMs) {
      inspectedAt = performance.now();
      const now = await api.inspect(service.name);
      if (now === undefined) return failed(`${service.name} is gone`);
      if (now.status === "exited" || now.status === "dead")
        return failed(`${service.name} exited with code ${now.exitCode} after ${seconds(elapsed)}`);
      if (now.status === "restarting" || now.restartCount > first.restartCount || now.startedAt !== first.startedAt)
        return failed(`${service.name} exited${codeOf(now)} and was restarted after ${seconds(elapsed)}`);
      if (done && now.status === "running") return { ok: true };
    }
    if (elapsed > service.settleMs)
      return failed(`${service.name} runs but does not listen on ${silent.join(", ")} after ${seconds(elapsed)}`);
    await delay(pollMs, undefined, { signal });
  }
}

function failed(message: string): Settled {
  return { ok: false, message };
}

/** The engine forgets the code of the last end when it starts a container again. */
function codeOf({ exitCode }: ObservedContainer): string {
  return exitCode === 0 ? "" : ` with code ${exitCode}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
