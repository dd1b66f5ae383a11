import { AppError } from "@decnet/common/errors/app-error";
import { codeOf, exhaustedCodes, notObserved } from "../observe/not-observed.ts";

/** Of a refusal of the engine; undefined for every other failure. */
export function statusOf(error: unknown): number | undefined {
  return typeof error === "object" && error !== null && "statusCode" in error && typeof error.statusCode === "number"
    ? error.statusCode
    : undefined;
}

export async function absentIfGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

export async function ignoring(status: number, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (statusOf(error) !== status) throw error;
  }
}

/**
 * A refusal of the engine is passed on as it is; an engine that does not answer is ENGINE_UNAVAILABLE, and one that cannot be
 * asked because this process has nothing left to ask with is NOT_OBSERVED.
 */
export async function guarded<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (statusOf(error) !== undefined || error instanceof AppError) throw error;
    if (exhaustedCodes.has(codeOf(error))) throw notObserved(`the Docker engine was not asked: ${codeOf(error)}`, error);
    throw new AppError("ENGINE_UNAVAILABLE", "the Docker engine does not answer", { cause: error, retryAfterMs: 2_000 });
  }
}
