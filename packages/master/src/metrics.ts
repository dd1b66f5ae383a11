import type { Interceptor } from "@connectrpc/connect";
import { createProgramMetrics, type ProgramMetrics } from "@decnet/common/metrics/program-metrics";
import type { OnPressure } from "@decnet/common/rpc/limits";
import type { ServerLoad } from "@decnet/common/rpc/server";
import { keepFresh } from "@decnet/common/runtime/fresh";
import { type BusMetrics, createBusMetrics } from "./bus-metrics.ts";
import { hostStateOf } from "./model/host.ts";
import type { ReadinessState } from "./readiness.ts";
import type { Figures } from "./store/figures.ts";
import type { EndedOperation } from "./store/operation-log.ts";

export interface Metrics extends Pick<ProgramMetrics, "text" | "gauge" | "counter"> {
  readonly interceptor: Interceptor;
  readonly applied: (result: "applied" | "failed", durationMs: number) => void;
  readonly drift: (what: "repaired" | "reported") => void;
  readonly refused: OnPressure;
  readonly ended: (operation: EndedOperation) => void;
  readonly webhook: (result: "delivered" | "failed") => void;
  readonly bus: BusMetrics;
  /** What callers take, whenever it is asked. */
  watchLoad(load: () => ServerLoad): void;
  /** What there is, whenever it is asked. */
  watchFleet(sources: FleetSources): void;
}

/** Where figures come from that nobody counts as they happen. */
export interface FleetSources {
  readonly figures: () => Promise<Figures>;
  readonly readiness: () => Promise<ReadinessState>;
  readonly isConnected: (host: string) => boolean;
  /** When the certificates of this master end; undefined for one that it does not have. */
  readonly certificates: () => { readonly authority: Date; readonly "tls-port": Date | undefined };
}

const applyBuckets = [0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300];
/** Whoever asks more often gets what was counted so long ago at most. */
const freshMs = 5_000;
const patienceMs = 3_000;
const daySeconds = 86_400;

export function createMetrics(version: string): Metrics {
  const metrics = createProgramMetrics(version);
  const { counter, duration } = metrics;
  const applies = duration({
    name: "decnet_apply_duration_seconds",
    help: "Duration of applies, by how they ended.",
    labels: ["result"],
    buckets: applyBuckets,
  });
  const operations = counter({
    name: "decnet_operations_total",
    help: "Operations that ended, by kind and how.",
    labels: ["kind", "result"],
  });
  const lives = duration({
    name: "decnet_operation_duration_seconds",
    help: "From the moment that an operation was accepted to its end, by kind.",
    labels: ["kind"],
    buckets: applyBuckets,
  });
  const drift = counter({
    name: "decnet_drift_total",
    help: "Deckies that were found to differ from what is wanted, by what was done.",
    labels: ["answer"],
  });
  const refused = counter({
    name: "decnet_refused_total",
    help: "What was refused or cut because there was too much of it.",
    labels: ["what"],
  });
  const deliveries = counter({
    name: "decnet_webhook_requests_total",
    help: "Requests to webhooks, by whether the receiver took the event.",
    labels: ["result"],
  });
  return {
    ...metrics,
    webhook: (result) => deliveries({ result }),
    bus: createBusMetrics(metrics),
    applied: (result, durationMs) => applies(durationMs, { result }),
    drift: (answer) => drift({ answer }),
    refused: (what) => refused({ what }),
    ended({ kind, state, createdAt, finishedAt }) {
      operations({ kind, result: state });
      lives((finishedAt ?? new Date()).getTime() - createdAt.getTime(), { kind });
    },
    watchLoad: (load) => watchLoad(metrics, load),
    watchFleet: (sources) => watchFleet(metrics, sources),
  };
}

function watchLoad({ gauge }: ProgramMetrics, load: () => ServerLoad): void {
  const connections = { name: "decnet_connections", help: "Connections of callers who proved who they are, and of strangers." };
  gauge({ ...connections, labels: ["of"] }, () =>
    Object.entries(load().connections).map(([of, value]) => ({ labels: { of }, value })),
  );
  gauge({ name: "decnet_pending_bytes", help: "Bytes of requests that are being read or worked on." }, () => [
    { labels: {}, value: load().pendingBytes },
  ]);
  gauge({ name: "decnet_unread_bytes", help: "Bytes of responses that their callers did not read yet." }, () => [
    { labels: {}, value: load().unreadBytes },
  ]);
}

function watchFleet({ gauge }: ProgramMetrics, { figures, readiness, isConnected, certificates }: FleetSources): void {
  const count = keepFresh(figures, freshMs, patienceMs);
  gauge({ name: "decnet_deckies", help: "Deckies, by host and state.", labels: ["host", "state"] }, async () =>
    (await count()).deckies.map(({ host, state, count: value }) => ({ labels: { host, state }, value })),
  );
  gauge({ name: "decnet_hosts", help: "Workers that are not decommissioned, by state.", labels: ["state"] }, async () => {
    const counts = new Map<string, number>(workerStates.map((state) => [state, 0]));
    for (const { name, wasSeen } of (await count()).hosts) {
      const seen = { decommissionedAt: null, lastSeen: wasSeen ? new Date() : null };
      const state = hostStateOf(seen, isConnected(name));
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    return [...counts].map(([state, value]) => ({ labels: { state }, value }));
  });
  gauge({ name: "decnet_hosts_draining", help: "Workers that take no new deckies." }, async () => [
    { labels: {}, value: (await count()).hosts.filter(({ isDraining }) => isDraining).length },
  ]);
  const queue = { labels: ["kind", "state"] };
  gauge({ ...queue, name: "decnet_operations_open", help: "Operations that have not ended." }, async () =>
    (await count()).open.map(({ kind, state, count: value }) => ({ labels: { kind, state }, value })),
  );
  gauge({ ...queue, name: "decnet_operations_oldest_seconds", help: "Age of the oldest one that has not ended." }, async () =>
    (await count()).open.map(({ kind, state, oldestSeconds: value }) => ({ labels: { kind, state }, value })),
  );
  gauge({ name: "decnet_events_head", help: "Position of the newest event." }, async () => [
    { labels: {}, value: (await count()).events.head },
  ]);
  gauge({ name: "decnet_events_oldest_seconds", help: "Age of the oldest event that is kept." }, async () => [
    { labels: {}, value: (await count()).events.oldestSeconds },
  ]);
  gauge({ name: "decnet_webhooks", help: "Webhooks, by state.", labels: ["state"] }, async () =>
    Object.entries((await count()).webhooks.states).map(([state, value]) => ({ labels: { state }, value })),
  );
  gauge({ name: "decnet_webhook_failing_seconds", help: "Since when the webhook fails that fails longest." }, async () => [
    { labels: {}, value: (await count()).webhooks.failingSeconds },
  ]);
  gauge({ name: "decnet_ready", help: "1 for each part of this master that works, as in /readyz.", labels: ["part"] }, async () =>
    Object.entries((await readiness()).parts).map(([part, word]) => ({ labels: { part }, value: word === "ok" ? 1 : 0 })),
  );
  const days = { name: "decnet_certificate_days_left", help: "Days until the first certificate of a kind ends.", labels: ["of"] };
  gauge(days, async () => {
    const own = Object.entries(certificates()).flatMap(([of, end]) =>
      end === undefined ? [] : [{ labels: { of }, value: (end.getTime() - Date.now()) / 1_000 / daySeconds }],
    );
    const hosts = await count().then(
      (counted) => counted.hosts.filter(({ name }) => isConnected(name)),
      () => [],
    );
    if (hosts.length === 0) return own;
    const first = Math.min(...hosts.map(({ certificateSeconds }) => certificateSeconds));
    return [...own, { labels: { of: "connected-agents" }, value: first / daySeconds }];
  });
}

/** Shown also when no worker is in one of them. */
const workerStates = ["enrolled", "connected", "unreachable"] as const;
