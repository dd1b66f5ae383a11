import type { Logger } from "../logging/logger.ts";

export interface TracingOptions {
  /** `decnet-master`; OTEL_SERVICE_NAME says otherwise. */
  readonly service: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** Traces of this process. */
export interface Tracing {
  /** Sends what is left, for as long as a stop may take. */
  stop(): Promise<void>;
}
