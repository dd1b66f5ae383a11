import { AppError } from "@decnet/common/errors/app-error";
import { z } from "zod";
import type { DiskPolicy } from "./diagnose/disk.ts";

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

/** As the engine allows them for networks. */
const networkName = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

const networkNames = z
  .string()
  .default("")
  .transform((text) => text.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()])))
  .refine((names) => names.every((name) => networkName.test(name)), "names of Docker networks, separated by commas");

/** Settings of every daemon that runs deckies on its own host. */
export const hostSettings = {
  DECNET_DOCKER_SOCKET: z.string().startsWith("/").default("/var/run/docker.sock"),
  DECNET_COMPOSE: z.string().startsWith("/").optional(),
  /** Folders with decoy services besides our own, separated by colons. */
  DECNET_CATALOGUE: z.string().default(""),
  /** Megabytes of free disk below which no image is built or pulled. */
  DECNET_MIN_FREE_MB: wholeNumber(0, 1 << 30).default(1_024),
  DECNET_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  /** Networks of the engine, by name and separated by commas, that deckies may be on although they were not made by us. */
  DECNET_ADOPTED_NETWORKS: networkNames,
  /** Whether deckies are kept from the ports of the host; `required`: no decky is started where they cannot be. */
  DECNET_CONTAINMENT: z.enum(["required", "off"]).default("required"),
  /** Megabytes that a service may take of the disk in each place where it can write; 0: as the catalog says. */
  DECNET_DISK_MB: wholeNumber(0, 1 << 20).default(0),
  /** Whether the engine refuses what goes far beyond, where its file system can; `off`: it is watched alone. */
  DECNET_DISK_BOUND: z.enum(["auto", "off"]).default("auto"),
  /** What is done about a service that takes more. */
  DECNET_DISK_POLICY: z.enum(["say", "stop", "recreate"]).default("recreate"),
  DECNET_PARALLEL: wholeNumber(1, 64).default(4),
  /** Seconds after which a service is restarted that stays out of processes or memory; 0: it is said, and left alone. */
  DECNET_EXHAUSTED_SECONDS: wholeNumber(0, 86_400).default(60),
  /** Milliseconds between two drift checks of the host. */
  DECNET_DRIFT_INTERVAL_MS: wholeNumber(100, 86_400_000).default(3_000),
};

/** For `--help`; the README says more. */
export const hostSettingsHelp = `
Settings of the environment about this host and its deckies:
  DECNET_DOCKER_SOCKET      the engine's socket
  DECNET_COMPOSE            the docker-compose program, instead of the installed plugin
  DECNET_CATALOGUE          more folders with decoy services, separated by colons
  DECNET_ADOPTED_NETWORKS   Docker networks, by name and separated by commas, that deckies may be on although
                            somebody else made them
  DECNET_CONTAINMENT        required (no decky is started where it could reach this host's own ports
                            or call out) or off
  DECNET_DISK_MB            disk for each place where a service can write; 0: as the catalog says
  DECNET_DISK_BOUND         auto (where the engine's file system can, it refuses what goes an eighth beyond) or off
  DECNET_DISK_POLICY        say, stop or recreate: what is done about a service that takes more
  DECNET_EXHAUSTED_SECONDS  a service that stays out of processes or memory for so long is restarted; 0: never
  DECNET_MIN_FREE_MB        free disk below which no image is built or pulled
  DECNET_PARALLEL           deckies that change at the same time
  DECNET_DRIFT_INTERVAL_MS  between two drift checks
  DECNET_LOG_LEVEL          debug, info, warn or error
`;

export interface HostConfig {
  readonly dockerSocket: string;
  /** Undefined: the docker-compose plugin is found where Docker looks. */
  readonly composePath: string | undefined;
  readonly catalogFolders: readonly string[];
  readonly minFreeBytes: number;
  readonly logLevel: string;
  readonly parallel: number;
  readonly driftIntervalMs: number;
  readonly adoptedNetworks: readonly string[];
  readonly isContaining: boolean;
  readonly disk: DiskPolicy;
  readonly isBoundingDisk: boolean;
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
  ...["DECNET_AGENT_CERTIFICATE_SECONDS", "DECNET_DATABASE_URL", "DECNET_WHEN_BEHIND", "DECNET_HOST_NAME"],
  ...["DECNET_DATABASE_CONNECTIONS", "DECNET_DATABASE_STATEMENT_SECONDS", "DECNET_DATABASE_CONNECT_SECONDS"],
  ...["DECNET_WEBHOOK_ALLOW", "DECNET_WEBHOOK_GIVE_UP_SECONDS", "DECNET_BACKUP_PASSPHRASE"],
  ...["DECNET_KEEP_EVENTS", "DECNET_KEEP_EVENTS_DAYS", "DECNET_KEEP_AUDIT", "DECNET_KEEP_AUDIT_DAYS"],
  ...["DECNET_KEEP_OPERATIONS", "DECNET_KEEP_OPERATIONS_DAYS", "DECNET_KEEP_REVISIONS", "DECNET_KEEP_REVISIONS_DAYS"],
  ...["DECNET_KEEP_JOIN_TOKENS", "DECNET_KEEP_JOIN_TOKENS_DAYS"],
  ...["DECNET_CONNECTIONS", "DECNET_CONNECTIONS_PER_ADDRESS", "DECNET_STREAMS", "DECNET_PENDING_MB"],
  ...["DECNET_BODY_SECONDS", "DECNET_IDLE_SECONDS"],
  ...["DECNET_KAFKA_BROKERS", "DECNET_KAFKA_TLS", "DECNET_KAFKA_CA_FILE", "DECNET_KAFKA_CERTIFICATE_FILE"],
  ...["DECNET_KAFKA_KEY_FILE", "DECNET_KAFKA_SASL", "DECNET_KAFKA_USERNAME", "DECNET_KAFKA_PASSWORD"],
  ...["DECNET_KAFKA_PASSWORD_FILE", "DECNET_KAFKA_TOPIC_PREFIX", "DECNET_KAFKA_CREATE_TOPICS", "DECNET_KAFKA_PARTITIONS"],
  ...["DECNET_KAFKA_REPLICATION", "DECNET_KAFKA_FORMAT", "DECNET_KAFKA_KEEP_UNSENT", "DECNET_KAFKA_KEEP_UNSENT_DAYS"],
  ...["DECNET_KAFKA_COMMANDS"],
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
    adoptedNetworks: settings.DECNET_ADOPTED_NETWORKS,
    disk: { diskAct: settings.DECNET_DISK_POLICY, diskBytes: settings.DECNET_DISK_MB * (1 << 20) },
    isBoundingDisk: settings.DECNET_DISK_BOUND === "auto",
    isContaining: settings.DECNET_CONTAINMENT === "required",
    driftIntervalMs: settings.DECNET_DRIFT_INTERVAL_MS,
    exhaustedRestartMs: settings.DECNET_EXHAUSTED_SECONDS * 1_000,
  };
}

/** The part of a configuration that an engine is opened with. */
export function engineSettings(config: HostConfig) {
  const { dockerSocket: socketPath, composePath, minFreeBytes, exhaustedRestartMs, adoptedNetworks, isContaining } = config;
  const { disk, isBoundingDisk } = config;
  return { socketPath, composePath, minFreeBytes, exhaustedRestartMs, adoptedNetworks, isContaining, disk, isBoundingDisk };
}
