import { AppError } from "@decnet/common/errors/app-error";

/**
 * An observation that failed. It says nothing about what is there, so nothing is done on it: what it was about is not known,
 * with this as the cause.
 */
export function notObserved(what: string, cause?: unknown): AppError {
  return new AppError("NOT_OBSERVED", `not observed: ${what}`, { cause, retryAfterMs: 2_000 });
}

export function isNotObserved(error: unknown): error is AppError {
  return error instanceof AppError && error.reason === "NOT_OBSERVED";
}

export function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** These alone mean that there is no such thing. */
export const absentCodes: ReadonlySet<string> = new Set(["ENOENT", "ESRCH"]);

/** What a read fails with that has nothing to do with what is read: this host, or this process, has none left. */
export const exhaustedCodes: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"]);

/** The result, or undefined when there is no such thing. Every other failure is an observation that failed: NOT_OBSERVED. */
export function unlessAbsent<T>(read: () => T, absent = absentCodes): T | undefined {
  try {
    return read();
  } catch (error) {
    return undefinedIfAbsent(error, absent);
  }
}

export async function unlessAbsentLater<T>(read: () => Promise<T>, absent = absentCodes): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    return undefinedIfAbsent(error, absent);
  }
}

function undefinedIfAbsent(error: unknown, absent: ReadonlySet<string>): undefined {
  if (absent.has(codeOf(error))) return undefined;
  throw notObserved(error instanceof Error ? error.message : String(error), error);
}
