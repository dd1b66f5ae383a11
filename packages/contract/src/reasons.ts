import { Code } from "@connectrpc/connect";
import { fillStep, type NextStep, renderStep } from "./next-steps.ts";

interface ReasonEntry {
  readonly code: Code;
  readonly exit: number;
  readonly next: readonly NextStep[];
}

/**
 * Every reason that a caller can meet, in one table: the status code on the wire, the exit code of the command line, and what
 * to do next. RPC details, command line and console read it; nothing repeats it.
 *
 * `next` may hold metadata keys in braces; they are filled where the error is made.
 */
export const reasons = {
  REQUEST_INVALID: {
    code: Code.InvalidArgument,
    exit: 2,
    next: [{ advice: "Correct the named fields and send the request again." }],
  },
  REQUEST_TOO_LARGE: {
    code: Code.ResourceExhausted,
    exit: 2,
    next: [
      {
        advice:
          "Send less at once: a request has at most 4 MiB (64 KiB without a token), and so many values as its message says.",
      },
    ],
  },
  OVERLOADED: {
    code: Code.ResourceExhausted,
    exit: 6,
    next: [
      { advice: "Try again in a moment; calls with a token come before those without." },
      { advice: "If it stays so, see which limit was met (decnet_refused_total in /metrics) and raise it: README, settings." },
    ],
  },
  CONFIG_INVALID: { code: Code.InvalidArgument, exit: 2, next: [{ command: ["catalog", "get", "{service}"] }] },
  SERVICE_UNKNOWN: { code: Code.InvalidArgument, exit: 2, next: [{ command: ["catalog", "list"] }] },
  SERVICE_IS_SINGLETON: {
    code: Code.FailedPrecondition,
    exit: 2,
    next: [{ advice: "It runs once per host and is not part of a decky; choose another service", command: ["catalog", "list"] }],
  },
  FLEET_INVALID: {
    code: Code.InvalidArgument,
    exit: 2,
    next: [{ advice: "Correct the fleet file and plan again", command: ["fleet", "plan", "-f", "FILE"] }],
  },
  DECKY_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["decky", "list"] }] },
  TOPOLOGY_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["topology", "list"] }] },
  LAN_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["topology", "list"] }] },
  TOPOLOGY_INVALID: {
    code: Code.InvalidArgument,
    exit: 2,
    next: [{ advice: "Correct the named fields and send the request again." }],
  },
  TOPOLOGY_UNDEPLOYABLE: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ command: ["topology", "validate", "{topology}"] }],
  },
  HOST_HAS_TOPOLOGIES: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Tear them down first", command: ["topology", "list"] }],
  },
  TOPOLOGY_STATE: { code: Code.FailedPrecondition, exit: 4, next: [{ command: ["topology", "show", "{topology}"] }] },
  VERSION_CONFLICT: { code: Code.Aborted, exit: 4, next: [{ command: ["topology", "show", "{topology}"] }] },
  ROTATION_IMPOSSIBLE: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [
      { command: ["decky", "get", "{decky}"] },
      { advice: "Name more services to rotate among, or give it another archetype." },
    ],
  },
  OPERATION_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["op", "list"] }] },
  REVISION_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["decky", "revisions", "{decky}"] }] },
  TOKEN_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["token", "list"] }] },
  WEBHOOK_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["webhook", "list"] }] },
  WEBHOOK_EXISTS: {
    code: Code.AlreadyExists,
    exit: 4,
    next: [{ command: ["webhook", "list"] }, { command: ["webhook", "remove", "{webhook}"] }],
  },
  WEBHOOK_LIMIT: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Remove one that is not needed", command: ["webhook", "list"] }],
  },
  SERVICE_ALREADY_PRESENT: {
    code: Code.AlreadyExists,
    exit: 4,
    next: [{ command: ["service", "set", "{decky}", "{service}", "KEY=VALUE"] }],
  },
  SERVICE_NOT_PRESENT: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ command: ["decky", "get", "{decky}"] }, { command: ["service", "add", "{decky}", "{service}"] }],
  },
  PORT_CONFLICT: { code: Code.AlreadyExists, exit: 4, next: [{ command: ["service", "remove", "{decky}", "{holder}"] }] },
  REVISION_CONFLICT: {
    code: Code.Aborted,
    exit: 4,
    next: [{ advice: "See what changed and decide again", command: ["decky", "revisions", "{decky}"] }],
  },
  PLAN_CHANGED: { code: Code.Aborted, exit: 4, next: [{ advice: "Make a new plan, read it, and send its digest." }] },
  REQUEST_ID_REUSED: { code: Code.AlreadyExists, exit: 4, next: [{ advice: "Use a new request id for a different request." }] },
  OPERATION_ENDED: { code: Code.FailedPrecondition, exit: 4, next: [{ command: ["op", "get", "{operation}"] }] },
  DECKY_LEAVING: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [
      {
        advice: "Wait until it is gone; a teardown that failed is taken back with",
        command: ["decky", "restore", "{decky}", "1"],
      },
    ],
  },
  DECKY_BEHIND: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [
      {
        advice:
          "Start the master with DECNET_WHEN_BEHIND=adopt to take over what {host} has, or =overwrite for what is known here.",
      },
    ],
  },
  HOST_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["host", "list"] }] },
  HOST_EXISTS: {
    code: Code.AlreadyExists,
    exit: 4,
    next: [{ command: ["host", "get", "{host}"] }, { advice: "Choose another name for the new worker." }],
  },
  HOST_ALREADY_CONNECTED: {
    code: Code.AlreadyExists,
    exit: 4,
    next: [
      {
        advice: "Stop one of the two agents that run as {host}; if its key was copied",
        command: ["host", "decommission", "{host}"],
      },
    ],
  },
  HOST_DRAINING: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ command: ["host", "activate", "{host}"] }, { advice: "Choose another host", command: ["host", "list"] }],
  },
  ORPHAN_NOT_FOUND: { code: Code.NotFound, exit: 3, next: [{ command: ["host", "orphans", "{host}"] }] },
  INSTALLATION_KEPT: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Remove it with its own decnet; what has no data left on the host can be removed from here." }],
  },
  HOST_BUSY: {
    code: Code.ResourceExhausted,
    exit: 6,
    next: [{ advice: "Try again in a moment: calls of one worker are served one after another." }],
  },
  NO_HOST_FITS: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ command: ["host", "list"] }, { command: ["host", "invite", "--name", "NAME"] }],
  },
  HOST_UNREACHABLE: { code: Code.Unavailable, exit: 6, next: [{ command: ["host", "get", "{host}"] }, { command: ["status"] }] },
  MASTER_UNREACHABLE: {
    code: Code.Unavailable,
    exit: 6,
    next: [{ advice: "Check that this machine reaches one of the addresses (a firewall, a route), and that the master runs." }],
  },
  MASTER_NOT_TRUSTED: {
    code: Code.Unavailable,
    exit: 6,
    next: [
      {
        advice: "Name its address; look at its certificate, and trust it if it is right",
        command: ["context", "add", "NAME"],
      },
    ],
  },
  CA_MISMATCH: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [
      { advice: "The server at that address is not the master that issued the token. Find out what it is before you go on." },
    ],
  },
  SETTINGS_INVALID: { code: Code.InvalidArgument, exit: 2, next: [{ advice: "Correct the named variables and start again." }] },
  ADDRESS_UNUSABLE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      { advice: "Who has it: ss -ltnp" },
      {
        advice:
          "Stop that program, or give this one another port: DECNET_PORT or DECNET_TLS_PORT for a master (README), " +
          "DECNET_AGENT_PORT for an agent (docs/swarm.md).",
      },
    ],
  },
  DATA_FOLDER_IN_USE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      {
        advice:
          "Stop process {pid} on {host} first, or give this one a folder of its own: DECNET_DATA_DIR for a master, " +
          "DECNET_AGENT_DIR for an agent.",
      },
      { advice: "When there is no such process on {host} any more: rm {unseen_lock}" },
    ],
  },
  HOST_CLAIMED: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      {
        advice:
          "Stop that master first. One that is to work beside it needs another name for its own host (DECNET_HOST_NAME), " +
          "one that is not needs a database of its own (DECNET_DATABASE_URL): docs/masters.md",
      },
      { advice: "One that ended without a word has let go of {host} after {seconds} s." },
    ],
  },
  KEY_FILE_UNUSABLE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      { advice: "Put {lost_file} back as it was, from a backup. When there is none: docs/backups.md" },
      { advice: "Make it its daemon's alone again: chown {owner} {exposed_file}; chmod go= {exposed_file}" },
    ],
  },
  INSTALLATION_MISMATCH: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      { advice: "Correct DECNET_DATABASE_URL or DECNET_DATA_DIR, or restore the database's backup: docs/backups.md" },
      { advice: "To begin again with nothing: move {folder} out of the way." },
    ],
  },
  VERSION_TOO_OLD: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [{ advice: "Start decnet {version} or a later one, or restore the backup from before it was upgraded." }],
  },
  BACKUP_UNREADABLE: {
    code: Code.InvalidArgument,
    exit: 4,
    next: [{ advice: "Give the passphrase that it was made with; if it was that, take another backup: this one is damaged." }],
  },
  BACKUP_FAILED: {
    code: Code.Aborted,
    exit: 7,
    next: [{ advice: "Remove the cause, which is in the message, and try again; nothing was left half done." }],
  },
  TARGET_NOT_EMPTY: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Restore into an empty database and a data folder without an installation: docs/backups.md" }],
  },
  IDENTITY_UNUSABLE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      { advice: "Put {lost_file} back as it was, from a backup" },
      { advice: "Without one, join again; on the master", command: ["host", "invite", "--name", "NAME"] },
      { advice: "Then here", command: ["agent", "join", "TOKEN", "--again"] },
    ],
  },
  NOT_JOINED: {
    code: Code.FailedPrecondition,
    exit: 3,
    next: [
      { advice: "On the master", command: ["host", "invite", "--name", "NAME"] },
      { advice: "Then here", command: ["agent", "join", "TOKEN"] },
    ],
  },
  SWARM_OFF: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Start the master with DECNET_TLS_HOST set to an address that workers reach, for instance 0.0.0.0" }],
  },
  DECKY_NOT_ON_HOST: { code: Code.PermissionDenied, exit: 5, next: [{ command: ["decky", "get", "{decky}"] }] },
  TOKEN_EXPIRED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [{ advice: "Ask for a new join token", command: ["host", "invite", "--name", "NAME"] }],
  },
  TOKEN_USED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [{ advice: "A join token works once; ask for a new one", command: ["host", "invite", "--name", "NAME"] }],
  },
  TOKEN_REVOKED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [{ advice: "Ask for a new join token", command: ["host", "invite", "--name", "NAME"] }],
  },
  CLOCK_SKEW: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Set the worker's clock (for instance with chrony or systemd-timesyncd) and join again." }],
  },
  CATALOGUE_MISMATCH: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [
      { advice: "Bring both sides to the same catalog: the same version of decnet, and the same folders in DECNET_CATALOGUE." },
    ],
  },
  VERSION_SKEW: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "Install the master's version of decnet on the worker." }],
  },
  ENGINE_UNUSABLE: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: [{ advice: "On the worker: scripts/setup/engine.sh" }, { advice: "Check it: docker version; docker compose version" }],
  },
  CERTIFICATE_REFUSED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [{ advice: "Join the worker again with a new token", command: ["host", "invite", "--name", "NAME"] }],
  },
  ENGINE_UNAVAILABLE: {
    code: Code.Unavailable,
    exit: 6,
    next: [{ advice: "Check that the Docker engine runs: docker version" }],
  },
  NOT_OBSERVED: {
    code: Code.Unavailable,
    exit: 6,
    next: [{ advice: "Nothing was done on it. Remove the cause on the host (open files, memory, permissions) and try again." }],
  },
  STORAGE_UNAVAILABLE: {
    code: Code.Unavailable,
    exit: 6,
    next: [{ advice: "Check the database and try again; nothing was changed." }],
  },
  STORAGE_FULL: {
    code: Code.Unavailable,
    exit: 6,
    next: [{ advice: "Free disk space where the database is; nothing was changed, and the master goes on by itself." }],
  },
  STORAGE_READ_ONLY: {
    code: Code.Unavailable,
    exit: 6,
    next: [{ advice: "Connect the master to the primary server, or end its read-only mode; nothing was changed." }],
  },
  STORAGE_REFUSED: {
    code: Code.Unavailable,
    exit: 6,
    next: [
      {
        advice:
          "Check user, password and database in DECNET_DATABASE_URL (@ is written as %40 there), whom the server's pg_hba.conf " +
          "lets in from here, and that the database belongs to that user.",
      },
    ],
  },
  STORAGE_UNTRUSTED: {
    code: Code.Unavailable,
    exit: 6,
    next: [
      {
        advice:
          "Name in DECNET_DATABASE_URL the server as its certificate does, and who signed that: " +
          "?sslmode=verify-full&sslrootcert=FILE; without sslrootcert, authorities that this machine trusts.",
      },
    ],
  },
  STORAGE_UNSUITABLE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [{ advice: "Make the master a database of its own: createdb --encoding UTF8 --template template0 decnet" }],
  },
  IMAGE_UNAVAILABLE: {
    code: Code.FailedPrecondition,
    exit: 7,
    next: [{ advice: "Make the base image available on the host, or choose another distro", command: ["catalog", "distros"] }],
  },
  APPLY_FAILED: { code: Code.Aborted, exit: 7, next: [{ command: ["op", "get", "{operation}", "--output-log"] }] },
  OPERATION_CANCELLED: { code: Code.Aborted, exit: 4, next: [{ command: ["op", "get", "{operation}"] }] },
  WAIT_ENDED: {
    code: Code.DeadlineExceeded,
    exit: 9,
    next: [{ advice: "The operation goes on", command: ["op", "watch", "{operation}"] }],
  },
  CURSOR_INVALID: { code: Code.InvalidArgument, exit: 2, next: [{ advice: "Start without a cursor." }] },
  CURSOR_EXPIRED: {
    code: Code.OutOfRange,
    exit: 4,
    next: [{ advice: "What is kept begins after {oldest}: read on from there, or start from the beginning." }],
  },
  TOO_MANY_STREAMS: {
    code: Code.ResourceExhausted,
    exit: 6,
    next: [{ advice: "End some of the streams that this token has open; one stream can follow many topics." }],
  },
  UNAUTHENTICATED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [{ advice: "Send a valid token as `authorization: Bearer …`." }],
  },
  TOKEN_INVALID: {
    code: Code.Unauthenticated,
    exit: 5,
    next: [{ advice: "Ask for a new one", command: ["host", "invite"] }],
  },
  NOT_ALLOWED: { code: Code.PermissionDenied, exit: 5, next: [{ advice: "Ask an admin for a token with the role {needed}." }] },
  SHUTTING_DOWN: { code: Code.Unavailable, exit: 6, next: [{ advice: "Try again in a moment." }] },
  INTERNAL: {
    code: Code.Internal,
    exit: 1,
    next: [{ advice: "Report it with the correlation id; the master's log has the cause." }],
  },
} as const satisfies Record<string, ReasonEntry>;

/** A stable name for why something was refused or went wrong. */
export type Reason = keyof typeof reasons;

/** What the metadata of an error may hold, and what each key means. The braces in `next` name keys of this table. */
export const metadataKeys = {
  topology: "the name of the topology, or its id",
  lan: "the name of the LAN",
  state: "the state of the topology",
  actual: "what is there instead of what was expected",
  correlation_id: "finds the cause in the master's log",
  decky: "the name of the decky",
  webhook: "the name of the webhook",
  difference: "what moved between the two plans, one line for each step",
  expected: "what the caller expected",
  exposed_file: "the file that others could read or change",
  folder: "the data folder",
  holder: "the service that has the port already",
  host: "the name of the host",
  installation: "the id of the installation",
  lost_file: "the file that is missing, damaged or another one",
  needed: "the role that the call needs",
  oldest: "where that begins which is kept: the cursor or the time before it",
  operation: "the id of the operation",
  owner: "the user whose file it has to be",
  pid: "the id of the process that has it",
  port: "the port that both services want",
  revision: "the number of the revision",
  role: "the caller's role",
  scope: "the topology, or fleet",
  seconds: "after how many seconds",
  service: "the slug of the service",
  skew_ms: "how far the clocks are apart",
  unseen_lock: "the lock file, when its process cannot be seen from here",
  undone: "whether the failed change was taken back: true or false",
  version: "the version of decnet that is needed",
} as const;

/** The next steps of a reason with `{keys}` filled from metadata; a step with an unknown key is left out. */
export function nextSteps(reason: Reason, metadata: Readonly<Record<string, string>>): NextStep[] {
  return reasons[reason].next.flatMap((step: NextStep) => fillStep(step, metadata) ?? []);
}

/** The same as text, one line each. On the wire the program is always `decnet`. */
export function renderNextSteps(reason: Reason, metadata: Readonly<Record<string, string>>, program = "decnet"): string[] {
  return nextSteps(reason, metadata).map((step) => renderStep(step, program));
}

export function isReason(value: string): value is Reason {
  return Object.hasOwn(reasons, value);
}
