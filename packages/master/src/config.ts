import { join } from "node:path";
import { type Environment, type HostConfig, hostSettings, parseSettings, toHostConfig } from "@decnet/engine/settings";
import { z } from "zod";

const schema = z.object({
  ...hostSettings,
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
});

export interface MasterConfig extends HostConfig {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** Undefined: no TLS port, and so no workers. */
  readonly tls: { readonly host: string; readonly port: number; readonly advertise: readonly string[] } | undefined;
  readonly agentCertificateMs: number;
  /** Undefined: the master runs a private PostgreSQL for itself. */
  readonly databaseUrl: string | undefined;
  readonly adminTokenFile: string;
}

/** Reads the environment once. Errors: SETTINGS_INVALID. */
export function parseMasterConfig(env: Environment, ownCatalogue: string): MasterConfig {
  const settings = parseSettings(schema, env);
  return {
    ...toHostConfig(settings, ownCatalogue),
    dataDir: settings.DECNET_DATA_DIR,
    host: settings.DECNET_HOST,
    port: settings.DECNET_PORT,
    tls:
      settings.DECNET_TLS_HOST === "off"
        ? undefined
        : {
            host: settings.DECNET_TLS_HOST,
            port: settings.DECNET_TLS_PORT,
            advertise: settings.DECNET_ADVERTISE.split(",").filter((name) => name !== ""),
          },
    agentCertificateMs: settings.DECNET_AGENT_CERTIFICATE_SECONDS * 1000,
    databaseUrl: settings.DECNET_DATABASE_URL,
    adminTokenFile: join(settings.DECNET_DATA_DIR, "admin.token"),
  };
}
