import { AppError } from "@decnet/common/errors/app-error";
import { z } from "zod";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A number as people write it: not `0x1f`, not `1e3`, not blank. */
export function wholeNumber(min: number, max: number) {
  const range = `a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, range)
    .transform(Number)
    .refine((value) => value >= min && value <= max, range);
}

/** Settings of every daemon that runs deckies on its own host. */
export const hostSettings = {
  DECNET_DOCKER_SOCKET: z.string().startsWith("/").default("/var/run/docker.sock"),
  DECNET_COMPOSE: z.string().startsWith("/").optional(),
  /** Folders with decoy services besides our own, separated by colons. */
  DECNET_CATALOGUE: z.string().default(""),
  /** Megabytes of free disk below which no image is built or pulled. */
  DECNET_MIN_FREE_MB: wholeNumber(0, 1 << 30).default(1_024),
  DECNET_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  DECNET_PARALLEL: wholeNumber(1, 64).default(4),
  /** Seconds after which a service is restarted that stays out of processes or memory; 0: it is said, and left alone. */
  DECNET_EXHAUSTED_SECONDS: wholeNumber(0, 86_400).default(60),
  /** Milliseconds between two drift checks of the host. */
  DECNET_DRIFT_INTERVAL_MS: wholeNumber(100, 86_400_000).default(3_000),
};

export interface HostConfig {
  readonly dockerSocket: string;
  /** Undefined: the docker-compose plugin is found where Docker looks. */
  readonly composePath: string | undefined;
  readonly catalogFolders: readonly string[];
  readonly minFreeBytes: number;
  readonly logLevel: string;
  readonly parallel: number;
  readonly driftIntervalMs: number;
  /** 0: never. */
  readonly exhaustedRestartMs: number;
}

/**
 * Reads an environment, where an empty variable is one that is not set; reports every problem together, by variable name:
 * SETTINGS_INVALID.
 */
export function parseSettings<Settings>(schema: z.ZodType<Settings>, env: Environment): Settings {
  const parsed = schema.safeParse(Object.fromEntries(Object.entries(env).filter(([, value]) => value !== "")));
  if (parsed.success) return parsed.data;
  const violations = parsed.error.issues.map((issue) => ({ field: issue.path.join("."), description: issue.message }));
  const problems = violations.map(({ field, description }) => `${field}: ${description}`);
  throw new AppError("SETTINGS_INVALID", `bad settings: ${problems.join("; ")}`, { violations });
}

/**
 * Every variable that a program of this repository reads; programs of one machine may share an environment. A test keeps the
 * table whole.
 */
export const settingNames: ReadonlySet<string> = new Set([
  ...Object.keys(hostSettings),
  ...["DECNET_DATA_DIR", "DECNET_HOST", "DECNET_PORT", "DECNET_TLS_HOST", "DECNET_TLS_PORT", "DECNET_ADVERTISE"],
  ...["DECNET_AGENT_CERTIFICATE_SECONDS", "DECNET_DATABASE_URL", "DECNET_WHEN_BEHIND"],
  ...["DECNET_AGENT_DIR", "DECNET_AGENT_PORT", "DECNET_REPORT_QUEUE"],
  ...["DECNET_ADDRESS", "DECNET_CONFIG", "DECNET_CONTEXT", "DECNET_TOKEN", "DECNET_TOKEN_FILE"],
  ...["DECNET_CA", "DECNET_PROGRAM", "DECNET_BIN_DIR"],
  ...["DECNET_STATE_DIR", "DECNET_FLEET", "DECNET_DEBIAN_MIRROR", "DECNET_TEST_RUN"],
]);

/** Variables that look like settings and are read by nobody: a mistyped name would otherwise go unnoticed. */
export function unknownSettings(env: Environment): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith("DECNET_") && !settingNames.has(name))
    .sort();
}

export function toHostConfig(settings: z.infer<z.ZodObject<typeof hostSettings>>, ownCatalog: string): HostConfig {
  return {
    dockerSocket: settings.DECNET_DOCKER_SOCKET,
    composePath: settings.DECNET_COMPOSE,
    catalogFolders: [ownCatalog, ...settings.DECNET_CATALOGUE.split(":").filter((folder) => folder !== "")],
    minFreeBytes: settings.DECNET_MIN_FREE_MB * (1 << 20),
    logLevel: settings.DECNET_LOG_LEVEL,
    parallel: settings.DECNET_PARALLEL,
    driftIntervalMs: settings.DECNET_DRIFT_INTERVAL_MS,
    exhaustedRestartMs: settings.DECNET_EXHAUSTED_SECONDS * 1_000,
  };
}
