import { AppError } from "@decnet/common/errors/app-error";
import { z } from "zod";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings of every daemon that runs deckies on its own host. */
export const hostSettings = {
  DECNET_DOCKER_SOCKET: z.string().startsWith("/").default("/var/run/docker.sock"),
  DECNET_COMPOSE: z.string().startsWith("/").optional(),
  /** Folders with decoy services besides our own, separated by colons. */
  DECNET_CATALOGUE: z.string().default(""),
  /** Megabytes of free disk below which no image is built or pulled. */
  DECNET_MIN_FREE_MB: z.coerce.number().int().min(0).default(1_024),
  DECNET_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  DECNET_PARALLEL: z.coerce.number().int().min(1).max(64).default(4),
  /** Milliseconds between two drift checks. */
  DECNET_DRIFT_INTERVAL_MS: z.coerce.number().int().min(100).default(3_000),
};

export interface HostConfig {
  readonly dockerSocket: string;
  /** Undefined: the docker-compose plugin is found where Docker looks. */
  readonly composePath: string | undefined;
  readonly catalogueFolders: readonly string[];
  readonly minFreeBytes: number;
  readonly logLevel: string;
  readonly parallel: number;
  readonly driftIntervalMs: number;
}

/** Reads an environment; reports every problem together, by variable name: SETTINGS_INVALID. */
export function parseSettings<Settings>(schema: z.ZodType<Settings>, env: Environment): Settings {
  const parsed = schema.safeParse(env);
  if (parsed.success) return parsed.data;
  const violations = parsed.error.issues.map((issue) => ({ field: issue.path.join("."), description: issue.message }));
  const problems = violations.map(({ field, description }) => `${field}: ${description}`);
  throw new AppError("SETTINGS_INVALID", `bad settings: ${problems.join("; ")}`, { violations });
}

export function toHostConfig(settings: z.infer<z.ZodObject<typeof hostSettings>>, ownCatalogue: string): HostConfig {
  return {
    dockerSocket: settings.DECNET_DOCKER_SOCKET,
    composePath: settings.DECNET_COMPOSE,
    catalogueFolders: [ownCatalogue, ...settings.DECNET_CATALOGUE.split(":").filter((folder) => folder !== "")],
    minFreeBytes: settings.DECNET_MIN_FREE_MB * (1 << 20),
    logLevel: settings.DECNET_LOG_LEVEL,
    parallel: settings.DECNET_PARALLEL,
    driftIntervalMs: settings.DECNET_DRIFT_INTERVAL_MS,
  };
}
