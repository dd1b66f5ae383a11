import type http from "node:http";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { OnPressure } from "@decnet/common/rpc/limits";
import type { ServerLoad } from "@decnet/common/rpc/server";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Readiness } from "./readiness.ts";

export interface Metrics {
  readonly interceptor: Interceptor;
  readonly applied: (result: "applied" | "failed", durationMs: number) => void;
  readonly drift: (what: "repaired" | "reported") => void;
  readonly refused: OnPressure;
  /** What callers take, whenever it is asked. */
  watchLoad(load: () => ServerLoad): void;
  /** Callers that ask at once share one text. */
  text(): Promise<string>;
}

export function createMetrics(version: string): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  new Gauge({ name: "decnet_build_info", help: "1, with the version.", labelNames: ["version"], registers }).set({ version }, 1);
  const calls = new Histogram({
    name: "decnet_rpc_seconds",
    help: "Duration of calls.",
    labelNames: ["method", "code"],
    registers,
  });
  const applies = new Histogram({
    name: "decnet_apply_seconds",
    help: "Duration of applies.",
    labelNames: ["result"],
    buckets: [0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300],
    registers,
  });
  const drift = new Counter({
    name: "decnet_drift_total",
    help: "Deckies that were found to differ from what is wanted.",
    labelNames: ["answer"],
    registers,
  });
  const refused = new Counter({
    name: "decnet_refused_total",
    help: "What was refused or cut because there was too much of it.",
    labelNames: ["what"],
    registers,
  });
  let making: Promise<string> | undefined;
  return {
    interceptor: (next) => async (request) => {
      const end = calls.startTimer({ method: `${request.service.typeName}/${request.method.name}` });
      try {
        const response = await next(request);
        end({ code: "OK" });
        return response;
      } catch (error) {
        end({ code: Code[ConnectError.from(error).code] ?? "Unknown" });
        throw error;
      }
    },
    applied: (result, durationMs) => applies.observe({ result }, durationMs / 1000),
    drift: (answer) => drift.inc({ answer }),
    refused: (what) => refused.inc({ what }),
    watchLoad: (load) => watchLoad(registry, load),
    text() {
      making ??= registry.metrics().finally(() => (making = undefined));
      return making;
    },
  };
}

function watchLoad(registry: Registry, load: () => ServerLoad): void {
  const registers = [registry];
  new Gauge({
    name: "decnet_connections",
    help: "Connections of callers who proved who they are, and of strangers.",
    labelNames: ["of"],
    registers,
    collect() {
      const { known, strangers } = load().connections;
      this.set({ of: "known" }, known);
      this.set({ of: "strangers" }, strangers);
    },
  });
  new Gauge({
    name: "decnet_pending_bytes",
    help: "Bytes of requests that are being read or worked on.",
    registers,
    collect() {
      this.set(load().pendingBytes);
    },
  });
}

/** Health and metrics for plain HTTP. Live: the process answers. Ready: calls can be served. */
export function createPlainHttp(metrics: Metrics, readiness: Pick<Readiness, "now">): http.RequestListener {
  const answer = async (path: string): Promise<{ status: number; type: string; body: string }> => {
    if (path === "/healthz") return { status: 200, type: "text/plain", body: "live\n" };
    if (path === "/metrics") return { status: 200, type: "text/plain; version=0.0.4", body: await metrics.text() };
    if (path === "/readyz") {
      const { isReady, parts } = await readiness.now();
      return { status: isReady ? 200 : 503, type: "application/json", body: `${JSON.stringify(parts)}\n` };
    }
    return {
      status: 404,
      type: "text/plain",
      body: "nothing here; RPCs are POST /decnet.v1.<Service>/<Method>, see also /healthz /readyz /metrics\n",
    };
  };
  return (request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    // The TLS port faces other machines: figures about this one are for its own loopback.
    const isShown = !("encrypted" in request.socket) || path === "/healthz" || path === "/readyz";
    void answer(isShown ? path : "")
      .catch((error: unknown) => ({
        status: 500,
        type: "text/plain",
        body: `${error instanceof Error ? error.name : "error"}\n`,
      }))
      .then(({ status, type, body }) => response.writeHead(status, { "content-type": type }).end(body));
  };
}
