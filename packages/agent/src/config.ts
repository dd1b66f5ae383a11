import { z } from "zod";

const schema = z.object({
  DECNET_AGENT_DIR: z.string().startsWith("/").default("/var/lib/decnet/agent"),
  /** For reading with grpcurl on the worker itself; 0 takes a free port. */
  DECNET_AGENT_PORT: z.coerce.number().int().min(0).max(65_535).default(7441),
  DECNET_DOCKER_SOCKET: z.string().startsWith("/").default("/var/run/docker.sock"),
  DECNET_COMPOSE: z.string().startsWith("/").optional(),
  DECNET_CATALOGUE: z.string().default(""),
  /** Megabytes of free disk below which no image is built or pulled. */
  DECNET_MIN_FREE_MB: z.coerce.number().int().min(0).default(1_024),
  DECNET_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  DECNET_PARALLEL: z.coerce.number().int().min(1).max(64).default(4),
  DECNET_DRIFT_INTERVAL_MS: z.coerce.number().int().min(100).default(3_000),
  /** Reports that wait for the master at most. */
  DECNET_REPORT_QUEUE: z.coerce.number().int().min(10).max(1_000_000).default(10_000),
});

export interface AgentConfig {
  readonly stateDir: string;
  readonly port: number;
  readonly dockerSocket: string;
  /** The docker-compose program; undefined: found where Docker looks. */
  readonly composePath: string | undefined;
  readonly catalogueFolders: readonly string[];
  readonly minFreeBytes: number;
  readonly logLevel: string;
  readonly parallel: number;
  readonly driftIntervalMs: number;
  readonly reportQueue: number;
}

/** Reads the environment once; reports every problem together, by variable name. */
export function parseAgentConfig(env: Readonly<Record<string, string | undefined>>, ownCatalogue: string): AgentConfig {
  const parsed = schema.safeParse(env);
  if (!parsed.success)
    throw new Error(
      `bad settings:\n${parsed.error.issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`).join("\n")}`,
    );
  const value = parsed.data;
  return {
    stateDir: value.DECNET_AGENT_DIR,
    port: value.DECNET_AGENT_PORT,
    dockerSocket: value.DECNET_DOCKER_SOCKET,
    composePath: value.DECNET_COMPOSE,
    catalogueFolders: [ownCatalogue, ...value.DECNET_CATALOGUE.split(":").filter((folder) => folder !== "")],
    minFreeBytes: value.DECNET_MIN_FREE_MB * (1 << 20),
    logLevel: value.DECNET_LOG_LEVEL,
    parallel: value.DECNET_PARALLEL,
    driftIntervalMs: value.DECNET_DRIFT_INTERVAL_MS,
    reportQueue: value.DECNET_REPORT_QUEUE,
  };
}
