import { AppError } from "../errors/app-error.ts";

/** So long a caller waits before it tries again. */
export const retryAfterMs = 1_000;

/** What new work is told under pressure. */
export function overloaded(why: string): AppError {
  return new AppError("OVERLOADED", why, { retryAfterMs });
}
