import { AppError } from "@decnet/common/errors/app-error";
import { isCertificateRefused } from "@decnet/common/rpc/certificate-errors";
import { cleanLine } from "@decnet/common/runtime/foreign-text";
import type { Reason } from "@decnet/contract/reasons";

/** What the driver says, without a code, of a connection that is gone; and TypeORM, when it broke within a transaction. */
const connectionTroubles = [
  "Connection terminated",
  "timeout exceeded when trying to connect",
  "Client has encountered a connection error",
  "not queryable",
  "Query runner already released",
];

/** The server and this machine do not come together on TLS; the driver has no code for these. */
const tlsTroubles = ["The server does not support SSL connections", "There was an error establishing an SSL connection"];

/** Classes 08 (connection) and 57P (shut down, starting up), and having no room for one more. */
const away = /^(08|57P|53300)/;

/** An error of the database itself is passed on; one that says what is wrong with the storage has a reason. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageFault(error) ?? error;
  }
}

type StorageReason = Extract<Reason, `STORAGE_${string}`>;

/** What an error of the driver says of the storage; undefined when it is about the statement. */
function storageFault(error: unknown): AppError | undefined {
  if (!(error instanceof Error) || error instanceof AppError) return undefined;
  const [reason, message] = withoutState(error) ?? withState(sqlStateOf(error) ?? "", error) ?? [];
  return reason === undefined ? undefined : new AppError(reason, message ?? "", { cause: error, retryAfterMs: 1_000 });
}

type Fault = readonly [reason: StorageReason, message: string];

const silent: Fault = ["STORAGE_UNAVAILABLE", "the database does not answer"];
const refused: Fault = ["STORAGE_REFUSED", "the database refuses this master"];

/** It comes from this machine, before a server said anything about a statement. */
function withoutState(error: Error & { readonly syscall?: unknown }): Fault | undefined {
  const says = (troubles: readonly string[]) => troubles.some((trouble) => error.message.includes(trouble));
  if (isCertificateRefused(error)) return ["STORAGE_UNTRUSTED", "the certificate of the database server is not accepted"];
  if (says(tlsTroubles) || /^(EPROTO|ERR_SSL_|ERR_OSSL_)/.test(sqlStateOf(error) ?? ""))
    return ["STORAGE_UNTRUSTED", "there is no TLS with the database server"];
  // Certificates and keys that the URL names are read for each connection.
  if (error.syscall === "open" || error.syscall === "read")
    if ("path" in error || sqlStateOf(error) === "EISDIR")
      return ["STORAGE_UNTRUSTED", "a file that DECNET_DATABASE_URL names cannot be read"];
  if (typeof error.syscall === "string" || /^(E[A-Z]+|EAI_[A-Z]+)$/.test(sqlStateOf(error) ?? "")) return silent;
  // The driver itself has no password to answer with, or no proof that the server knows it.
  if (error.message.startsWith("SASL: ")) return refused;
  return sqlStateOf(error) === undefined && says(connectionTroubles) ? silent : undefined;
}

function withState(state: string, { message }: Error): Fault | undefined {
  if (away.test(state)) return silent;
  switch (state) {
    case "53100":
      return ["STORAGE_FULL", "the disk of the database is full"];
    case "53200":
      return ["STORAGE_UNAVAILABLE", "the database is out of memory"];
    case "25006":
      return ["STORAGE_READ_ONLY", "the database takes no writes: it is read-only"];
    case "58030":
      return ["STORAGE_UNAVAILABLE", "the database cannot read or write its files"];
    case "28P01":
      return ["STORAGE_REFUSED", "the database refuses the user name or the password"];
    case "28000":
      return message.includes("no encryption")
        ? ["STORAGE_UNTRUSTED", "the database server lets nobody in from here without TLS"]
        : refused;
    case "3D000":
      return ["STORAGE_REFUSED", "the server does not have the database"];
    case "42501":
      return /permission denied for (database|schema)/.test(message)
        ? ["STORAGE_REFUSED", "the database does not let this master make its tables"]
        : undefined;
    default:
      return undefined;
  }
}

/** For whoever sets a master up, and no caller: the reason, with what the server or this machine said in its own words. */
export async function saidInFull<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await guarded(work);
  } catch (error) {
    if (!isStorageFault(error) || !(error instanceof AppError)) throw error;
    const words = wordsOf(error.cause);
    if (words === "" || error.message.includes(words)) throw error;
    const { reason, message, cause, retryAfterMs } = error;
    throw new AppError(reason, `${message} (${words})`, { cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
  }
}

/** One that tried several addresses says nothing itself. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join("; ");
  return cleanLine(error.message);
}

/** It is away, or as good as: it lets nobody in, or is not trusted. */
export function isStorageUnavailable(error: unknown): boolean {
  return error instanceof AppError && /^STORAGE_(UNAVAILABLE|REFUSED|UNTRUSTED)$/.test(error.reason);
}

/** It is the storage that is in trouble, not what was asked of it: full and read-only ones among them. */
export function isStorageFault(error: unknown): boolean {
  return error instanceof AppError && error.reason.startsWith("STORAGE_");
}

export function sqlStateOf(error: unknown): string | undefined {
  return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** The constraint that a write violated, or undefined for any other error. */
export function violatedConstraint(error: unknown): string | undefined {
  if (sqlStateOf(error) !== "23505") return undefined;
  return typeof error === "object" && error !== null && "constraint" in error ? String(error.constraint) : undefined;
}
