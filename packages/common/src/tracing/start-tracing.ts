import type { Tracing, TracingOptions } from "./tracing.ts";

/**
 * Sends traces to the OTLP endpoint that the environment names (https://opentelemetry.io/docs/specs/otel/protocol/exporter/);
 * without one nothing of it is even loaded.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  if (!isWanted(options.env)) return { stop: async () => undefined };
  const { startExporter } = await import("./exporter.ts");
  return startExporter(options);
}

function isWanted(env: TracingOptions["env"]): boolean {
  if (/^true$/i.test(env["OTEL_SDK_DISABLED"] ?? "") || env["OTEL_TRACES_EXPORTER"] === "none") return false;
  return [env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]].some((at) => (at ?? "") !== "");
}
