import { AppError } from "@decnet/common/errors/app-error";
import { type CommandResult, runCommand } from "../docker/run-command.ts";
import { codeOf } from "../observe/not-observed.ts";

export const filterCommandMs = 10_000;

/** Runs a program of the host's packet filter. Undefined: there is no such program here. */
export async function runFilter(file: string, args: readonly string[], signal: AbortSignal): Promise<CommandResult | undefined> {
  try {
    const result = await runCommand(file, args, { timeoutMs: filterCommandMs, signal });
    signal.throwIfAborted();
    return result;
  } catch (error) {
    if (codeOf(error instanceof Error ? error.cause : undefined) === "ENOENT") return undefined;
    throw error;
  }
}

export function filterFailed(program: string, result: CommandResult | undefined): AppError {
  return new AppError("APPLY_FAILED", `${program} ended with exit code ${result?.exitCode ?? "none"}`, {
    outputTail: result?.tail ?? [],
  });
}
