import { setTimeout as delay } from "node:timers/promises";
import { context, DiagLogLevel, diag, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { switchTracing } from "./spans.ts";
import type { Tracing, TracingOptions } from "./tracing.ts";

/** A collector that does not answer holds no stop up. */
const lastMs = 2_000;
/** Spans that wait to be sent; what comes on top is dropped. */
const mostWaiting = 8_192;
const everyMs = 1_000;

/** Spans leave in batches by gRPC, in the background. A collector that is away costs spans, and nothing else. */
export function startExporter({ service, version, env, log }: TracingOptions): Tracing {
  const trouble = (message: string) => log.warn("traces are not sent", { why: message.slice(0, 500) });
  const quiet = () => undefined;
  diag.setLogger({ error: trouble, warn: trouble, info: quiet, debug: quiet, verbose: quiet }, DiagLogLevel.WARN);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const resource = resourceFromAttributes({ "service.name": service, "service.version": version }).merge(
    detectResources({ detectors: [envDetector] }),
  );
  const processor = new BatchSpanProcessor(new OTLPTraceExporter(), {
    maxQueueSize: mostWaiting,
    scheduledDelayMillis: everyMs,
  });
  const provider = new BasicTracerProvider({ resource, spanProcessors: [processor] });
  trace.setGlobalTracerProvider(provider);
  switchTracing(true);
  log.info("traces are sent", { to: endpointOf(env) });
  return {
    async stop() {
      switchTracing(false);
      await Promise.race([provider.shutdown().catch(quiet), delay(lastMs, undefined, { ref: false })]);
      trace.disable();
      propagation.disable();
      context.disable();
      diag.disable();
    },
  };
}

/** Without what may be a secret in it. */
function endpointOf(env: TracingOptions["env"]): string {
  const url = env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] || env["OTEL_EXPORTER_OTLP_ENDPOINT"] || "";
  return URL.canParse(url) ? new URL(url).host : url;
}
