import net from "node:net";
import { join } from "node:path";
import { isLoopback } from "@decnet/common/rpc/loopback";
import {
  type Environment,
  type HostConfig,
  hostSettings,
  parseSettings,
  toHostConfig,
  wholeNumber,
} from "@decnet/engine/settings";
import { z } from "zod";

const host = z.string().refine(isHost, "an IP address without brackets, or a host name");

const schema = z
  .object({
    ...hostSettings,
    DECNET_DATA_DIR: z.string().startsWith("/").default("/var/lib/decnet/master"),
    DECNET_HOST: z
      .string()
      .refine(
        isLoopback,
        "this port has no TLS: only a loopback address such as 127.0.0.1 or ::1; for others see DECNET_TLS_HOST",
      )
      .default("127.0.0.1"),
    DECNET_PORT: wholeNumber(0, 65_535).default(7440),
    /** Address of the TLS port for workers and for operators on other machines; "off" has none. */
    DECNET_TLS_HOST: host.default("off"),
    DECNET_TLS_PORT: wholeNumber(0, 65_535).default(7443),
    /** Names or addresses, separated by commas, that workers reach the TLS port at; empty: this machine's own addresses. */
    DECNET_ADVERTISE: z
      .string()
      .default("")
      .transform((names) => names.split(",").map((name) => name.trim()))
      .refine(
        (names) => names.every((name) => name === "" || isAdvertised(name)),
        "names or addresses, each with a port or without",
      ),
    /** Seconds that an agent's certificate lives; it is renewed after two thirds. */
    DECNET_AGENT_CERTIFICATE_SECONDS: wholeNumber(10, 366 * 86_400).default(86_400),
    /** What is done about deckies of workers that have a later revision than this database, which is of a backup, knows of. */
    DECNET_WHEN_BEHIND: z.enum(["hold", "adopt", "overwrite"]).default("hold"),
    DECNET_DATABASE_URL: z
      .string()
      .refine(
        (url) => URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol),
        "a URL like postgresql://user@host/database",
      )
      .optional(),
  })
  .superRefine((settings, context) => {
    const { DECNET_PORT: port, DECNET_TLS_HOST: tlsHost, DECNET_TLS_PORT: tlsPort } = settings;
    const overlap = ["0.0.0.0", "::", settings.DECNET_HOST].includes(tlsHost);
    if (port !== 0 && port === tlsPort && overlap)
      context.addIssue({ code: "custom", path: ["DECNET_TLS_PORT"], message: "the same port as DECNET_PORT" });
  });

function isHost(text: string): boolean {
  const isNumeric = /^[\d.]+$/.test(text);
  return net.isIP(text) !== 0 || (!isNumeric && /^(?=.{1,253}$)[a-z\d]([\w-]*[a-z\d])?(\.[a-z\d]([\w-]*[a-z\d])?)*$/i.test(text));
}

function isAdvertised(name: string): boolean {
  const [, bracketed, plain = "", port = "1"] = /^(?:\[(.*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(name) ?? [];
  if (net.isIPv6(name)) return true;
  return (bracketed === undefined ? isHost(plain) : net.isIPv6(bracketed)) && Number(port) >= 1 && Number(port) <= 65_535;
}

export interface MasterConfig extends HostConfig {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** Undefined: no TLS port, and so no workers. */
  readonly tls: { readonly host: string; readonly port: number; readonly advertise: readonly string[] } | undefined;
  readonly agentCertificateMs: number;
  readonly whenBehind: "hold" | "adopt" | "overwrite";
  /** Undefined: the master runs a private PostgreSQL for itself. */
  readonly databaseUrl: string | undefined;
  readonly adminTokenFile: string;
}

/** Reads the environment once. Errors: SETTINGS_INVALID. */
export function parseMasterConfig(env: Environment, ownCatalog: string): MasterConfig {
  const settings = parseSettings(schema, env);
  return {
    ...toHostConfig(settings, ownCatalog),
    dataDir: settings.DECNET_DATA_DIR,
    host: settings.DECNET_HOST,
    port: settings.DECNET_PORT,
    tls:
      settings.DECNET_TLS_HOST === "off"
        ? undefined
        : {
            host: settings.DECNET_TLS_HOST,
            port: settings.DECNET_TLS_PORT,
            advertise: settings.DECNET_ADVERTISE.filter((name) => name !== ""),
          },
    agentCertificateMs: settings.DECNET_AGENT_CERTIFICATE_SECONDS * 1000,
    whenBehind: settings.DECNET_WHEN_BEHIND,
    databaseUrl: settings.DECNET_DATABASE_URL,
    adminTokenFile: join(settings.DECNET_DATA_DIR, "admin.token"),
  };
}
