/** Why the bus does not take what it is given, and what to do about it. */
export interface Explained {
  /** One word, for figures. */
  readonly kind: string;
  readonly cause: string;
  readonly next: string;
}

interface Rule {
  readonly kind: string;
  readonly fits: RegExp;
  readonly cause: string;
  readonly next: string;
}

const startOthers =
  "Another one leads within seconds; if it stays so, start the brokers that are down: most controllers have to run, and of " +
  "each partition a broker that has all of it (kcat -L shows the leaders). Events wait in the database.";

/** The first that fits counts: what says more comes before what says less. */
const rules: readonly Rule[] = [
  {
    kind: "storage",
    fits: /STORAGE_/,
    cause: "the database does not say what is to be sent",
    next: "See the database: decnet doctor.",
  },
  {
    kind: "credentials",
    fits: /SASLAuthentication|SASL_AUTHENTICATION_FAILED|SASL (Plain|SCRAM)/i,
    cause: "the broker refuses our user name or password",
    next: "Check DECNET_KAFKA_USERNAME, the password and DECNET_KAFKA_SASL against the broker's users.",
  },
  {
    kind: "mechanism",
    fits: /UNSUPPORTED_SASL_MECHANISM|does not support the requested SASL mechanism/i,
    cause: "the broker does not know this way to log in",
    next: "Set DECNET_KAFKA_SASL to a mechanism that the broker's listener has.",
  },
  {
    kind: "certificate",
    fits: /ERR_TLS_CERT_ALTNAME|Hostname\/IP does not match/i,
    cause: "the broker's certificate is for another name",
    next: "Name the brokers in DECNET_KAFKA_BROKERS as their certificates do.",
  },
  {
    kind: "certificate",
    fits: /certificate|SELF_SIGNED|UNABLE_TO_VERIFY|CERT_/i,
    cause: "the brokers and this master do not accept each other's certificates",
    next: "Check DECNET_KAFKA_CA_FILE, and DECNET_KAFKA_CERTIFICATE_FILE when the broker wants a client's certificate.",
  },
  {
    kind: "tls",
    fits: /EPROTO|wrong version number|packet length too long|SSL routines/i,
    cause: "one side speaks TLS and the other does not",
    next: "Set DECNET_KAFKA_TLS as the broker's listener is.",
  },
  {
    kind: "file",
    fits: /ENOENT|EACCES|EISDIR/,
    cause: "a file of the settings cannot be read",
    next: "Check the files that the settings of the bus name, and who may read them.",
  },
  {
    kind: "permission",
    fits: /TOPIC_AUTHORIZATION_FAILED|CLUSTER_AUTHORIZATION_FAILED|GROUP_AUTHORIZATION_FAILED|not authorized/i,
    cause: "the broker knows us and does not allow this",
    next: "Allow the master's user to describe and write its topics (and to create them, or set DECNET_KAFKA_CREATE_TOPICS=off).",
  },
  {
    kind: "topic",
    fits: /UNKNOWN_TOPIC_OR_PARTITION|does not host this topic|topics are missing/i,
    cause: "a topic is missing on the broker",
    next: "Make the topics that docs/bus.md lists, or set DECNET_KAFKA_CREATE_TOPICS=on.",
  },
  {
    kind: "replicas",
    fits: /NOT_ENOUGH_REPLICAS|REQUEST_TIMED_OUT|INVALID_REPLICATION_FACTOR|insufficient|replication factor/i,
    cause: "too few brokers have a copy of what is written",
    next: "Bring the other brokers back, or lower DECNET_KAFKA_REPLICATION before the topics are made.",
  },
  {
    kind: "election",
    fits: new RegExp(
      [
        "LEADER_NOT_AVAILABLE|ELIGIBLE_LEADERS|NOT_LEADER_|(FENCED|UNKNOWN)_LEADER_EPOCH|leadership election|the leader for",
        "NOT_CONTROLLER|STALE_CONTROLLER|COORDINATOR|in the cached metadata",
      ].join("|"),
    ),
    cause: "brokers answer, and have no leader yet for what is sent",
    next: startOthers,
  },
  {
    kind: "leader",
    fits: /AfterAnswer[\s\S]*(ECONNREFUSED|ECONNRESET|EHOSTUNREACH|Connection (error|timeout)|Closed connection|disconnect)/,
    cause: "a broker answers, and the one that it names as leader does not",
    next: startOthers,
  },
  {
    kind: "size",
    fits: /MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE|too large/i,
    cause: "an event is larger than the broker takes",
    next: "Raise the broker's message.max.bytes.",
  },
  {
    kind: "name",
    fits: /ENOTFOUND|EAI_AGAIN/,
    cause: "the name of a broker is not known",
    next: "Check DECNET_KAFKA_BROKERS and this machine's name service.",
  },
  {
    kind: "silent",
    fits: /RequestTimeout|Request \S+ timed out/,
    cause: "a broker takes requests, and does not answer in time",
    next: "See whether the broker hangs: its log, its disk, its load. Events wait in the database.",
  },
  {
    kind: "away",
    fits: /ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|connection|disconnect|timed out|timeout/i,
    cause: "no broker answers",
    next: "Start the brokers, or check DECNET_KAFKA_BROKERS, DECNET_KAFKA_TLS and the way there. Events wait in the database.",
  },
];

const unknown = {
  kind: "other",
  cause: "the broker refuses what it is sent",
  next: "See the broker's log; events wait in the database.",
};

/** What an error of the client comes to: its own words and those of what caused it. */
export function explain(error: unknown): Explained {
  const texts: string[] = [];
  for (let each = error, depth = 0; each instanceof Error && depth < 6; each = each.cause, depth += 1) {
    const { code, type, reason, errors } = each as { code?: unknown; type?: unknown; reason?: unknown; errors?: unknown };
    texts.push(`${each.name} ${String(code ?? "")} ${String(type ?? "")} ${String(reason ?? "")} ${each.message}`);
    if (Array.isArray(errors)) texts.push(...errors.map((one) => String((one as { type?: unknown }).type ?? one)));
  }
  const text = texts.join("\n");
  const { kind, cause, next } = rules.find(({ fits }) => fits.test(text)) ?? unknown;
  const own = error instanceof Error ? error.message : String(error);
  return { kind, cause: `${cause} (${own.slice(0, 300)})`, next };
}
