import net from "node:net";
import { join } from "node:path";
import { defaultLimits, type RpcLimits } from "@decnet/common/rpc/limits";
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
import { type BusConfig, busSettings, refineBus, toBusConfig } from "./bus/settings.ts";
import type { WebhookPolicy } from "./model/webhook.ts";
import { type DatabaseOptions, usualDatabase } from "./store/database.ts";
import type { RetentionLimits } from "./store/retention.ts";

const host = z.string().refine(isHost, "an IP address without brackets, or a host name");

/** Also what a worker can be called. */
const hostName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "lower-case letters, digits and inner hyphens, 1 to 63");

const days = wholeNumber(1, 36_500);
const rows = wholeNumber(1_000, 1_000_000_000);
const dayMs = 86_400_000;
/** Between attempts at a webhook: the first pause, and the longest. */
const webhookPauses = { baseMs: 1_000, maxMs: 600_000 };
/** As many as a list returns at most. */
const refusedJoins = { ms: 30 * dayMs, rows: 1_000 };

const schema = z
  .object({
    ...hostSettings,
    ...busSettings,
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
    /** What is kept of what happened, in days and in rows, whichever is less. */
    DECNET_KEEP_EVENTS_DAYS: days.default(30),
    DECNET_KEEP_EVENTS: rows.default(1_000_000),
    DECNET_KEEP_AUDIT_DAYS: days.default(365),
    DECNET_KEEP_AUDIT: rows.default(1_000_000),
    DECNET_KEEP_OPERATIONS_DAYS: days.default(90),
    DECNET_KEEP_OPERATIONS: rows.default(500_000),
    /** Of each decky so many, whatever their age, and those that are younger. */
    DECNET_KEEP_REVISIONS: wholeNumber(10, 10_000).default(100),
    DECNET_KEEP_REVISIONS_DAYS: days.default(90),
    /** Of those that have ended. */
    DECNET_KEEP_JOIN_TOKENS: rows.default(10_000),
    DECNET_KEEP_JOIN_TOKENS_DAYS: days.default(90),
    /** Connections to both ports together; fewer when the process may not have so many open files and a reserve. */
    DECNET_CONNECTIONS: wholeNumber(32, 1 << 20).default(defaultLimits.connections),
    /** Connections to the TLS port from one address on which nobody has proved who it is. */
    DECNET_CONNECTIONS_PER_ADDRESS: wholeNumber(8, 1 << 20).default(defaultLimits.strangersPerAddress),
    /** Calls that run on one connection at once. */
    DECNET_STREAMS: wholeNumber(10, 100_000).default(defaultLimits.streams),
    /** Megabytes of the requests of all callers, and as many of all workers, that are being read or worked on. */
    DECNET_PENDING_MB: wholeNumber(16, 1 << 20).default(defaultLimits.pendingBytes >> 20),
    /** Seconds within which the body of a request arrives. */
    DECNET_BODY_SECONDS: wholeNumber(1, 3_600).default(defaultLimits.bodyMs / 1_000),
    /** Seconds after which a connection without a call is closed; one on which nobody proved who it is, after 15 at most. */
    DECNET_IDLE_SECONDS: wholeNumber(1, 86_400).default(defaultLimits.idleMs / 1_000),
    /** Hosts that webhooks may send to wherever they are, and without TLS: names or addresses, separated by commas. */
    DECNET_WEBHOOK_ALLOW: z
      .string()
      .default("")
      .transform((names) =>
        names
          .split(",")
          .map((name) => name.trim().toLowerCase())
          .filter((name) => name !== ""),
      )
      .refine((names) => names.every(isHost), "names or addresses of hosts, without ports and brackets"),
    /** Seconds after which a webhook is stopped that nothing could be delivered to. */
    DECNET_WEBHOOK_GIVE_UP_SECONDS: wholeNumber(1, 366 * 86_400).default(86_400),
    /** What is done about deckies of workers that have a later revision than this database, which is of a backup, knows of. */
    DECNET_WHEN_BEHIND: z.enum(["hold", "adopt", "overwrite"]).default("hold"),
    /** What the master's own host is called: another name for each of several masters. */
    DECNET_HOST_NAME: hostName.default("local"),
    /** Connections for transactions; seventeen more are for everything else. */
    DECNET_DATABASE_CONNECTIONS: wholeNumber(2, 1_000).default(usualDatabase.transactions),
    /** A statement that takes longer is ended. */
    DECNET_DATABASE_STATEMENT_SECONDS: wholeNumber(1, 3_600).default(usualDatabase.statementMs / 1_000),
    DECNET_DATABASE_CONNECT_SECONDS: wholeNumber(1, 600).default(usualDatabase.connectMs / 1_000),
    DECNET_DATABASE_URL: z
      .string()
      .refine((url) => !namesSeveralHosts(url), "one host, whose name or address follows the primary: the driver tries no others")
      .refine(
        (url) => namesSeveralHosts(url) || (URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)),
        "a URL like postgresql://user@host/database",
      )
      .optional(),
  })
  .superRefine((settings, context) => {
    const { DECNET_PORT: port, DECNET_TLS_HOST: tlsHost, DECNET_TLS_PORT: tlsPort } = settings;
    const overlap = ["0.0.0.0", "::", settings.DECNET_HOST].includes(tlsHost);
    if (port !== 0 && port === tlsPort && overlap)
      context.addIssue({ code: "custom", path: ["DECNET_TLS_PORT"], message: "the same port as DECNET_PORT" });
    refineBus(settings, context);
  });

/** As libpq takes it. The driver would look for one host of that name, and connect to a standby as to any other server. */
function namesSeveralHosts(url: string): boolean {
  const [, hosts = "", query = ""] = /^postgres(?:ql)?:\/\/(?:[^/?#]*@)?([^/?#]*)[^?#]*\??([^#]*)/.exec(url) ?? [];
  const asked = new URLSearchParams(query);
  return hosts.includes(",") || (asked.get("host") ?? "").includes(",") || asked.has("target_session_attrs");
}

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
  readonly limits: RpcLimits;
  readonly whenBehind: "hold" | "adopt" | "overwrite";
  /** Undefined: the master runs a private PostgreSQL for itself. */
  readonly databaseUrl: string | undefined;
  readonly database: Omit<DatabaseOptions, "application">;
  readonly hostName: string;
  readonly adminTokenFile: string;
  readonly keep: RetentionLimits;
  readonly webhooks: { readonly allowed: ReadonlySet<string>; readonly policy: WebhookPolicy };
  /** Undefined: events are not sent on. */
  readonly bus: BusConfig | undefined;
}

/** Reads the environment once. Errors: SETTINGS_INVALID. */
export function parseMasterConfig(env: Environment, ownCatalog: string): MasterConfig {
  const settings = parseSettings(schema, env);
  const bus = toBusConfig(settings);
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
    limits: {
      connections: settings.DECNET_CONNECTIONS,
      strangersPerAddress: settings.DECNET_CONNECTIONS_PER_ADDRESS,
      streams: settings.DECNET_STREAMS,
      pendingBytes: settings.DECNET_PENDING_MB * (1 << 20),
      bodyMs: settings.DECNET_BODY_SECONDS * 1_000,
      idleMs: settings.DECNET_IDLE_SECONDS * 1_000,
    },
    whenBehind: settings.DECNET_WHEN_BEHIND,
    databaseUrl: settings.DECNET_DATABASE_URL,
    database: {
      transactions: settings.DECNET_DATABASE_CONNECTIONS,
      statementMs: settings.DECNET_DATABASE_STATEMENT_SECONDS * 1_000,
      connectMs: settings.DECNET_DATABASE_CONNECT_SECONDS * 1_000,
    },
    hostName: settings.DECNET_HOST_NAME,
    keep: {
      events: { ms: settings.DECNET_KEEP_EVENTS_DAYS * dayMs, rows: settings.DECNET_KEEP_EVENTS },
      ...(bus === undefined ? {} : { unsentEvents: bus.keepUnsent }),
      audit: { ms: settings.DECNET_KEEP_AUDIT_DAYS * dayMs, rows: settings.DECNET_KEEP_AUDIT },
      operations: { ms: settings.DECNET_KEEP_OPERATIONS_DAYS * dayMs, rows: settings.DECNET_KEEP_OPERATIONS },
      refusedJoins,
      revisions: { ms: settings.DECNET_KEEP_REVISIONS_DAYS * dayMs, rows: settings.DECNET_KEEP_REVISIONS },
      joinTokens: { ms: settings.DECNET_KEEP_JOIN_TOKENS_DAYS * dayMs, rows: settings.DECNET_KEEP_JOIN_TOKENS },
    },
    webhooks: {
      allowed: new Set(settings.DECNET_WEBHOOK_ALLOW),
      policy: { ...webhookPauses, giveUpMs: settings.DECNET_WEBHOOK_GIVE_UP_SECONDS * 1_000 },
    },
    bus,
    adminTokenFile: join(settings.DECNET_DATA_DIR, "admin.token"),
  };
}
