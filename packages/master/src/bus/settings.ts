import { wholeNumber } from "@decnet/engine/settings";
import { z } from "zod";
import type { EventFormat } from "./cloud-event.ts";

const file = z.string().startsWith("/", "the path of a file, from the root").optional();
const onOff = z.enum(["on", "off"]);
const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const;

/** Settings of the bus; without brokers there is none. */
export const busSettings = {
  /** Brokers to begin with, separated by commas. */
  DECNET_KAFKA_BROKERS: z
    .string()
    .default("")
    .transform((text) => text.split(",").flatMap((broker) => (broker.trim() === "" ? [] : [broker.trim()])))
    .refine((brokers) => brokers.every(isBroker), "host:port, separated by commas"),
  DECNET_KAFKA_TLS: onOff.default("off"),
  /** Who signs the brokers' certificates; empty: who this machine trusts. */
  DECNET_KAFKA_CA_FILE: file,
  /** The master's own certificate and key, for brokers that want one. */
  DECNET_KAFKA_CERTIFICATE_FILE: file,
  DECNET_KAFKA_KEY_FILE: file,
  DECNET_KAFKA_SASL: z.enum(["off", ...mechanisms]).default("off"),
  DECNET_KAFKA_USERNAME: z.string().default(""),
  DECNET_KAFKA_PASSWORD: z.string().default(""),
  DECNET_KAFKA_PASSWORD_FILE: file,
  DECNET_KAFKA_TOPIC_PREFIX: z
    .string()
    .regex(/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$/, "letters, digits, hyphens and underscores")
    .default("decnet"),
  /** Whether topics that are missing are made. */
  DECNET_KAFKA_CREATE_TOPICS: onOff.default("on"),
  DECNET_KAFKA_PARTITIONS: wholeNumber(1, 1_000).default(6),
  /** Copies of each partition; 0: three, or as many as there are brokers. */
  DECNET_KAFKA_REPLICATION: wholeNumber(0, 100).default(0),
  DECNET_KAFKA_FORMAT: z.enum(["binary", "structured"]).default("binary"),
  /** How much is kept of what could not be sent yet, in days and in rows, whichever is less. */
  DECNET_KAFKA_KEEP_UNSENT_DAYS: wholeNumber(1, 36_500).default(365),
  DECNET_KAFKA_KEEP_UNSENT: wholeNumber(1_000, 1_000_000_000).default(10_000_000),
  /** Whether changes may be asked for on the bus. */
  DECNET_KAFKA_COMMANDS: onOff.default("off"),
};

function isBroker(text: string): boolean {
  const [, port = "0"] = /^(?:\[[\da-fA-F:.]+\]|[^\s:/]+):(\d{1,5})$/.exec(text) ?? [];
  return Number(port) >= 1 && Number(port) <= 65_535;
}

type Parsed = z.infer<z.ZodObject<typeof busSettings>>;

/** What does not fit together. */
export function refineBus(settings: Parsed, context: z.RefinementCtx): void {
  const refuse = (name: keyof typeof busSettings, message: string) => context.addIssue({ code: "custom", path: [name], message });
  const { DECNET_KAFKA_SASL: sasl, DECNET_KAFKA_PASSWORD: password, DECNET_KAFKA_PASSWORD_FILE: passwordFile } = settings;
  if (sasl !== "off" && settings.DECNET_KAFKA_USERNAME === "")
    refuse("DECNET_KAFKA_USERNAME", "is needed together with DECNET_KAFKA_SASL");
  if (sasl !== "off" && (password === "") === (passwordFile === undefined))
    refuse("DECNET_KAFKA_PASSWORD_FILE", "DECNET_KAFKA_SASL needs either this or DECNET_KAFKA_PASSWORD");
  if ((settings.DECNET_KAFKA_CERTIFICATE_FILE === undefined) !== (settings.DECNET_KAFKA_KEY_FILE === undefined))
    refuse("DECNET_KAFKA_KEY_FILE", "a certificate and its key come together");
  const files = [settings.DECNET_KAFKA_CA_FILE, settings.DECNET_KAFKA_CERTIFICATE_FILE];
  if (settings.DECNET_KAFKA_TLS === "off" && files.some((each) => each !== undefined))
    refuse("DECNET_KAFKA_TLS", "is off, and certificates are named");
}

export interface BusSecurity {
  readonly isTls: boolean;
  /** Read whenever a connection is made, so that renewed ones are taken. */
  readonly caFile: string | undefined;
  readonly certificateFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly sasl:
    | { readonly mechanism: (typeof mechanisms)[number]; readonly username: string; readonly password: string | { file: string } }
    | undefined;
}

export interface BusConfig extends BusSecurity {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly format: EventFormat;
  readonly isCreatingTopics: boolean;
  readonly partitions: number;
  /** 0: three, or as many as there are brokers. */
  readonly replication: number;
  readonly keepUnsent: { readonly ms: number; readonly rows: number };
  readonly takesCommands: boolean;
}

const dayMs = 86_400_000;

/** Undefined: there is no bus. */
export function toBusConfig(settings: Parsed): BusConfig | undefined {
  if (settings.DECNET_KAFKA_BROKERS.length === 0) return undefined;
  const { DECNET_KAFKA_SASL: mechanism, DECNET_KAFKA_PASSWORD_FILE: passwordFile } = settings;
  const password = passwordFile === undefined ? settings.DECNET_KAFKA_PASSWORD : { file: passwordFile };
  return {
    brokers: settings.DECNET_KAFKA_BROKERS,
    isTls: settings.DECNET_KAFKA_TLS === "on",
    caFile: settings.DECNET_KAFKA_CA_FILE,
    certificateFile: settings.DECNET_KAFKA_CERTIFICATE_FILE,
    keyFile: settings.DECNET_KAFKA_KEY_FILE,
    sasl: mechanism === "off" ? undefined : { mechanism, username: settings.DECNET_KAFKA_USERNAME, password },
    prefix: settings.DECNET_KAFKA_TOPIC_PREFIX,
    format: settings.DECNET_KAFKA_FORMAT,
    isCreatingTopics: settings.DECNET_KAFKA_CREATE_TOPICS === "on",
    partitions: settings.DECNET_KAFKA_PARTITIONS,
    replication: settings.DECNET_KAFKA_REPLICATION,
    keepUnsent: { ms: settings.DECNET_KAFKA_KEEP_UNSENT_DAYS * dayMs, rows: settings.DECNET_KAFKA_KEEP_UNSENT },
    takesCommands: settings.DECNET_KAFKA_COMMANDS === "on",
  };
}
