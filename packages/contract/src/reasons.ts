import { Code } from "@connectrpc/connect";

/**
 * Every reason that a caller can meet, in one table: the status code on the wire, the exit code of the command line, and what
 * to do next. RPC details, command line and console read it; nothing repeats it.
 *
 * `next` may name metadata keys in braces; they are filled in where the error is made.
 */
export const reasons = {
  REQUEST_INVALID: { code: Code.InvalidArgument, exit: 2, next: ["Correct the named fields and send the request again."] },
  CONFIG_INVALID: { code: Code.InvalidArgument, exit: 2, next: ["decnet catalog get {service}"] },
  SERVICE_UNKNOWN: { code: Code.InvalidArgument, exit: 2, next: ["decnet catalog list"] },
  SERVICE_IS_SINGLETON: {
    code: Code.FailedPrecondition,
    exit: 2,
    next: ["It runs once per host and is no part of a decky; choose another service: decnet catalog list"],
  },
  FLEET_INVALID: {
    code: Code.InvalidArgument,
    exit: 2,
    next: ["Correct the fleet file and plan again: decnet fleet plan -f FILE"],
  },
  DECKY_NOT_FOUND: { code: Code.NotFound, exit: 3, next: ["decnet decky list"] },
  TOPOLOGY_NOT_FOUND: { code: Code.NotFound, exit: 3, next: ["Leave topology_id empty to name a decky of the fleet."] },
  OPERATION_NOT_FOUND: { code: Code.NotFound, exit: 3, next: ["decnet op list"] },
  REVISION_NOT_FOUND: { code: Code.NotFound, exit: 3, next: ["decnet decky revisions {decky}"] },
  TOKEN_NOT_FOUND: { code: Code.NotFound, exit: 3, next: ["List the tokens and use an id from there."] },
  SERVICE_ALREADY_PRESENT: { code: Code.AlreadyExists, exit: 4, next: ["decnet service set {decky} {service} KEY=VALUE"] },
  SERVICE_NOT_PRESENT: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["decnet decky get {decky}", "decnet service add {decky} {service}"],
  },
  PORT_CONFLICT: { code: Code.AlreadyExists, exit: 4, next: ["decnet service remove {decky} {holder}"] },
  REVISION_CONFLICT: {
    code: Code.Aborted,
    exit: 4,
    next: ["Look at what changed and decide again: decnet decky revisions {decky}"],
  },
  PLAN_CHANGED: { code: Code.Aborted, exit: 4, next: ["Make a new plan, read it, and send its digest."] },
  REQUEST_ID_REUSED: { code: Code.AlreadyExists, exit: 4, next: ["Use a new request id for a different request."] },
  OPERATION_ENDED: { code: Code.FailedPrecondition, exit: 4, next: ["decnet op get {operation}"] },
  DECKY_LEAVING: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["It is being torn down; apply the fleet again to bring it back."],
  },
  HOST_NOT_FOUND: { code: Code.NotFound, exit: 3, next: ["decnet host list"] },
  HOST_EXISTS: { code: Code.AlreadyExists, exit: 4, next: ["decnet host get {host}", "Choose another name for the new worker."] },
  HOST_ALREADY_CONNECTED: {
    code: Code.AlreadyExists,
    exit: 4,
    next: ["Stop one of the two agents that run as {host}; if its key was copied: decnet host decommission {host}"],
  },
  HOST_DRAINING: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["decnet host activate {host}", "Choose another host: decnet host list"],
  },
  NO_HOST_FITS: { code: Code.FailedPrecondition, exit: 4, next: ["decnet host list", "decnet host invite --name NAME"] },
  HOST_UNREACHABLE: { code: Code.Unavailable, exit: 6, next: ["decnet host get {host}", "decnet status"] },
  MASTER_UNREACHABLE: {
    code: Code.Unavailable,
    exit: 6,
    next: ["Check that this machine reaches one of the addresses (a firewall, a route), and that the master runs."],
  },
  CA_MISMATCH: {
    code: Code.Unauthenticated,
    exit: 5,
    next: ["Whoever answers there is not the master that made the token. Find out who it is before you go on."],
  },
  SETTINGS_INVALID: { code: Code.InvalidArgument, exit: 2, next: ["Correct the named variables and start again."] },
  ADDRESS_UNUSABLE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      "Who has it: ss -ltnp",
      "Stop that program, or give this one another port: DECNET_PORT or DECNET_TLS_PORT for a master (README), DECNET_AGENT_PORT for an agent (docs/swarm.md).",
    ],
  },
  DATA_FOLDER_IN_USE: {
    code: Code.FailedPrecondition,
    exit: 6,
    next: [
      "Stop process {pid} on {host} first, or give this one a folder of its own: DECNET_DATA_DIR for a master, DECNET_AGENT_DIR for an agent.",
      "When there is no such process on {host} any more: rm {unseen_lock}",
    ],
  },
  NOT_JOINED: {
    code: Code.FailedPrecondition,
    exit: 3,
    next: ["On the master: decnet host invite --name NAME", "Then here: decnet agent join TOKEN"],
  },
  SWARM_OFF: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["Start the master with DECNET_TLS_HOST set to an address that workers reach, for instance 0.0.0.0"],
  },
  DECKY_NOT_ON_HOST: { code: Code.PermissionDenied, exit: 5, next: ["decnet decky get {decky}"] },
  TOKEN_EXPIRED: { code: Code.Unauthenticated, exit: 5, next: ["Ask for a new join token: decnet host invite --name NAME"] },
  TOKEN_USED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: ["A join token works once; ask for a new one: decnet host invite --name NAME"],
  },
  TOKEN_REVOKED: { code: Code.Unauthenticated, exit: 5, next: ["Ask for a new join token: decnet host invite --name NAME"] },
  CLOCK_SKEW: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["Set the worker's clock (for instance with chrony or systemd-timesyncd) and join again."],
  },
  CATALOGUE_MISMATCH: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["Bring both sides to the same catalogue: the same version of decnet, and the same folders in DECNET_CATALOGUE."],
  },
  VERSION_SKEW: { code: Code.FailedPrecondition, exit: 4, next: ["Install the master's version of decnet on the worker."] },
  ENGINE_UNUSABLE: {
    code: Code.FailedPrecondition,
    exit: 4,
    next: ["On the worker: scripts/setup/engine.sh", "Check it: docker version; docker compose version"],
  },
  CERTIFICATE_REFUSED: {
    code: Code.Unauthenticated,
    exit: 5,
    next: ["Join the worker again with a new token: decnet host invite --name NAME"],
  },
  ENGINE_UNAVAILABLE: { code: Code.Unavailable, exit: 6, next: ["Check that the Docker engine runs: docker version"] },
  STORAGE_UNAVAILABLE: { code: Code.Unavailable, exit: 6, next: ["Check the database and try again; nothing was changed."] },
  IMAGE_UNAVAILABLE: {
    code: Code.FailedPrecondition,
    exit: 7,
    next: ["Make the base image available on the host, or choose another distro: decnet catalog distros"],
  },
  APPLY_FAILED: { code: Code.Aborted, exit: 7, next: ["decnet op get {operation} --output-log"] },
  OPERATION_CANCELLED: { code: Code.Aborted, exit: 4, next: ["decnet op get {operation}"] },
  OPERATION_SUPERSEDED: { code: Code.Aborted, exit: 4, next: ["decnet decky revisions {decky}"] },
  WAIT_ENDED: { code: Code.DeadlineExceeded, exit: 9, next: ["The operation goes on: decnet op watch {operation}"] },
  CURSOR_INVALID: { code: Code.InvalidArgument, exit: 2, next: ["Start without a cursor."] },
  CURSOR_EXPIRED: {
    code: Code.OutOfRange,
    exit: 2,
    next: ["Events before the oldest kept one are gone; start without a cursor and read the present state."],
  },
  UNAUTHENTICATED: { code: Code.Unauthenticated, exit: 5, next: ["Send a valid token as `authorization: Bearer …`."] },
  TOKEN_INVALID: { code: Code.Unauthenticated, exit: 5, next: ["Ask for a new one: decnet host invite"] },
  NOT_ALLOWED: { code: Code.PermissionDenied, exit: 5, next: ["Ask an admin for a token with the role {needed}."] },
  SHUTTING_DOWN: { code: Code.Unavailable, exit: 6, next: ["Try again in a moment."] },
  INTERNAL: { code: Code.Internal, exit: 1, next: ["Report it with the correlation id; the master's log has the cause."] },
} as const satisfies Record<string, { code: Code; exit: number; next: readonly string[] }>;

/** A stable name for why something was refused or went wrong. */
export type Reason = keyof typeof reasons;

/** The next steps of a reason with `{keys}` filled from metadata; a step with a key that is not known is left out. */
export function nextSteps(reason: Reason, metadata: Readonly<Record<string, string>>): string[] {
  const filled = reasons[reason].next.map((step) => step.replaceAll(/\{(\w+)\}/g, (hole, key: string) => metadata[key] ?? hole));
  return filled.filter((step) => !/\{\w+\}/.test(step));
}

export function isReason(value: string): value is Reason {
  return Object.hasOwn(reasons, value);
}
