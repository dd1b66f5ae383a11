import type { EgressRule } from "../policy/egress.ts";

/** A decoy service on offer, as its folder `catalog/<slug>` describes it. */
export interface ServiceDefinition {
  readonly slug: string;
  readonly title: string;
  readonly summary: string;
  /** Runs once per host, never as part of a decky. */
  readonly singleton: boolean;
  /** What the server listens on; a service is `running` only when each of them does. */
  readonly ports: readonly CatalogPort[];
  /** Linux capabilities without the CAP_ prefix; all others are dropped. */
  readonly capabilities: readonly string[];
  /** The numeric user that the server's main process runs as inside the container; owns the mounted secret files. */
  readonly user: number;
  readonly readOnlyRoot: boolean;
  /** What it may call: by default a decoy calls nobody. */
  readonly egress?: readonly EgressRule[];
  /** Folders that are writable memory, for instance `/run`, or `/run:size=64m`; without a size they have 32 megabytes. */
  readonly tmpfs: readonly string[];
  /** Named volumes that outlive the container, so that identity (host keys, certificates) stays. */
  readonly volumes: readonly CatalogVolume[];
  /** `diskMb`: of each place that it may write to on the host's disk, watched rather than enforced. */
  readonly limits: { readonly pids: number; readonly memoryMb: number; readonly cpus: number; readonly diskMb: number };
  /** Seconds between SIGTERM and SIGKILL. */
  readonly stopGraceSeconds: number;
  /** Seconds within which every port must listen. */
  readonly settleSeconds: number;
  readonly image: CatalogImage;
  readonly fields: readonly ConfigField[];
}

export interface CatalogPort {
  readonly number: number;
  readonly protocol: "tcp" | "udp";
}

export interface CatalogVolume {
  readonly name: string;
  readonly path: string;
}

/** A build context: an absolute folder, whose Dockerfile starts FROM the build argument BASE_IMAGE. */
export interface CatalogImage {
  readonly context: string;
  /** See `hashContext`. */
  readonly contextHash: string;
}

export type FieldType = "string" | "password" | "textarea" | "int" | "bool" | "enum" | "multi_enum" | "string_list";

/**
 * One setting. `env` names the variable that the container gets; a secret, and whatever may be too large for the environment, is
 * the file `/run/decnet/secrets/<key>` instead.
 */
export interface ConfigField {
  readonly key: string;
  readonly label: string;
  readonly type: FieldType;
  readonly default: ConfigValue | undefined;
  /** Allowed values; empty unless type is enum or multi_enum. */
  readonly enum: readonly string[];
  readonly secret: boolean;
  readonly help: string;
  readonly placeholder: string;
  readonly env: string | undefined;
  /** Whether the container gets the default when the key is not set (the reference's "always"), or nothing ("when set"). */
  readonly emit: "always" | "when_set";
  readonly min: number | undefined;
  readonly max: number | undefined;
  /** Longest accepted text in characters. */
  readonly maxLength: number;
  /** The same in bytes of UTF-8, for servers that count those. */
  readonly maxBytes?: number;
  /** A regular expression for the whole text, or for each item of a list; `expects` says it in words. */
  readonly pattern?: string;
  readonly expects?: string;
  /** What is never accepted although everything else of the field fits. */
  readonly forbidden?: Forbidden;
  /** Most items of a list. */
  readonly maxItems?: number;
  /** The text is a list of named values. */
  readonly pairs?: PairsRule;
  /** It travels as a file although it is no secret. */
  readonly file?: boolean;
}

export interface Forbidden {
  readonly values: readonly (string | number)[];
  readonly because: string;
}

/** `Name: value` lines, or a JSON object of texts; each name once. The patterns are for the whole name and the whole value. */
export interface PairsRule {
  readonly name: string;
  readonly value: string;
  readonly forbidden?: Forbidden;
}

export type ConfigValue = string | number | boolean | readonly string[];

/** Coerced settings of one service. Keys are field keys; absent means "not set". */
export type ServiceConfig = Readonly<Record<string, ConfigValue>>;

export interface Catalog {
  readonly services: ReadonlyMap<string, ServiceDefinition>;
  /** sha256 hex over every service's meaning and build context. */
  readonly digest: string;
}
