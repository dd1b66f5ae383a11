import { join } from "node:path";
import { z } from "zod";

const schema = z.object({
  DECNET_DATA_DIR: z.string().startsWith("/").default("/var/lib/decnet/master"),
  DECNET_HOST: z.string().default("127.0.0.1"),
  DECNET_PORT: z.coerce.number().int().min(0).max(65_535).default(7440),
  /** Address of the TLS port for workers and for operators on other machines; "off" has none. */
  DECNET_TLS_HOST: z.string().default("off"),
  DECNET_TLS_PORT: z.coerce.number().int().min(0).max(65_535).default(7443),
  /** Names or addresses, separated by commas, that workers reach the TLS port at; empty: this machine's own addresses. */
  DECNET_ADVERTISE: z.string().default(""),
  /** Seconds that an agent's certificate lives; it is renewed after two thirds. */
  DECNET_AGENT_CERTIFICATE_SECONDS: z.coerce
    .number()
    .int()
    .min(10)
    .max(366 * 86_400)
    .default(86_400),
  DECNET_DATABASE_URL: z.string().optional(),
  DECNET_DOCKER_SOCKET: z.string().startsWith("/").default("/var/run/docker.sock"),
  DECNET_COMPOSE: z.string().startsWith("/").optional(),
  /** Folders with decoy services, separated by colons, beside the ones that come along. */
  DECNET_CATALOGUE: z.string().default(""),
  /** Megabytes of free disk below which no image is built or pulled. */
  DECNET_MIN_FREE_MB: z.coerce.number().int().min(0).default(1_024),
  DECNET_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  DECNET_PARALLEL: z.coerce.number().int().min(1).max(64).default(4),
  /** Milliseconds between two looks at the host for drift. */
  DECNET_DRIFT_INTERVAL_MS: z.coerce.number().int().min(100).default(3_000),
});

export interface MasterConfig {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** Undefined: no TLS port, and so no workers. */
  readonly tls: { readonly host: string; readonly port: number; readonly advertise: readonly string[] } | undefined;
  readonly agentCertificateMs: number;
  /** Undefined: the master runs a private PostgreSQL for itself. */
  readonly databaseUrl: string | undefined;
  readonly dockerSocket: string;
  /** Undefined: the docker-compose plugin is found where Docker looks. */
  readonly composePath: string | undefined;
  readonly catalogueFolders: readonly string[];
  readonly minFreeBytes: number;
  readonly logLevel: string;
  readonly parallel: number;
  readonly driftIntervalMs: number;
  readonly adminTokenFile: string;
}

/** Reads the environment once; reports every problem together, by variable name. */
export function parseMasterConfig(env: Readonly<Record<string, string | undefined>>, ownCatalogue: string): MasterConfig {
  const parsed = schema.safeParse(env);
  if (!parsed.success)
    throw new Error(
      `bad settings:\n${parsed.error.issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`).join("\n")}`,
    );
  const value = parsed.data;
  return {
    dataDir: value.DECNET_DATA_DIR,
    host: value.DECNET_HOST,
    port: value.DECNET_PORT,
    tls:
      value.DECNET_TLS_HOST === "off"
        ? undefined
        : {
            host: value.DECNET_TLS_HOST,
            port: value.DECNET_TLS_PORT,
            advertise: value.DECNET_ADVERTISE.split(",").filter((name) => name !== ""),
          },
    agentCertificateMs: value.DECNET_AGENT_CERTIFICATE_SECONDS * 1000,
    databaseUrl: value.DECNET_DATABASE_URL,
    dockerSocket: value.DECNET_DOCKER_SOCKET,
    composePath: value.DECNET_COMPOSE,
    catalogueFolders: [ownCatalogue, ...value.DECNET_CATALOGUE.split(":").filter((folder) => folder !== "")],
    minFreeBytes: value.DECNET_MIN_FREE_MB * (1 << 20),
    logLevel: value.DECNET_LOG_LEVEL,
    parallel: value.DECNET_PARALLEL,
    driftIntervalMs: value.DECNET_DRIFT_INTERVAL_MS,
    adminTokenFile: join(value.DECNET_DATA_DIR, "admin.token"),
  };
}
