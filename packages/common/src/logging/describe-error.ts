import { AppError } from "../errors/app-error.ts";

const deepest = 4;
/** Codes of the operating system, and the database's classes for a connection, a resource or a disk that is not there. */
const ofTheWorld = /^(E(?!RR_)[A-Z0-9]+|(08|53|57|58)[A-Z0-9]{3})$/;

/**
 * An error as it is logged: what was expected to happen some time has a reason or a code and its message, each with its cause;
 * only a defect has a stack.
 */
export function describeError(error: unknown, withStack: boolean, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const code = error instanceof AppError ? error.reason : "code" in error ? error.code : undefined;
  const isExpected = error instanceof AppError || (typeof code === "string" && ofTheWorld.test(code));
  return {
    ...(code === undefined ? { type: error.name } : { code }),
    message: error.message,
    ...(isExpected && !withStack ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= deepest ? {} : { cause: describeError(error.cause, withStack, depth + 1) }),
  };
}
