import { AppError } from "@decnet/common/errors/app-error";

/** What the driver says, without a code, of a connection that is gone; and TypeORM, when it broke within a transaction. */
const connectionTroubles = [
  "Connection terminated",
  "timeout exceeded when trying to connect",
  "Client has encountered a connection error",
  "not queryable",
  "Query runner already released",
];

/** Classes 08 (connection) and 57P (shut down, starting up), the codes of the socket, and having no descriptor left for one. */
const away = /^(08|57P|53300|ECONN|ENOENT|EPIPE|ETIMEDOUT|EMFILE|ENFILE)/;

/** An error of the database itself is passed on; one that says what is wrong with the storage has a reason. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageFault(error) ?? error;
  }
}

/** What an error of the driver says of the storage; undefined when it is about the statement. */
function storageFault(error: unknown): AppError | undefined {
  if (!(error instanceof Error) || error instanceof AppError) return undefined;
  const fault = (reason: "STORAGE_UNAVAILABLE" | "STORAGE_FULL" | "STORAGE_READ_ONLY", message: string) =>
    new AppError(reason, message, { cause: error, retryAfterMs: 1_000 });
  const state = sqlStateOf(error);
  if (state === undefined)
    return connectionTroubles.some((trouble) => error.message.includes(trouble))
      ? fault("STORAGE_UNAVAILABLE", "the database does not answer")
      : undefined;
  if (away.test(state)) return fault("STORAGE_UNAVAILABLE", "the database does not answer");
  switch (state) {
    case "53100":
      return fault("STORAGE_FULL", "the disk of the database is full");
    case "53200":
      return fault("STORAGE_UNAVAILABLE", "the database is out of memory");
    case "25006":
      return fault("STORAGE_READ_ONLY", "the database takes no writes: it is read-only");
    case "58030":
      return fault("STORAGE_UNAVAILABLE", "the database cannot read or write its files");
    default:
      return undefined;
  }
}

export function isStorageUnavailable(error: unknown): boolean {
  return error instanceof AppError && error.reason === "STORAGE_UNAVAILABLE";
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
